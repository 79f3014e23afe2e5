{{/* The hook Job that publishes: (dict "root" . "name" NAME "events" HOOKS "force" BOOL) */}}
{{- define "penstock.publishJob" -}}
apiVersion: batch/v1
kind: Job
metadata:
  {{- $hook := dict "helm.sh/hook" .events "helm.sh/hook-weight" "0" "helm.sh/hook-delete-policy" "before-hook-creation,hook-succeeded" }}
  {{- include "penstock.metadata" (dict "root" .root "part" "publish" "name" .name "annotations" $hook) | nindent 2 }}
spec:
  backoffLimit: {{ .root.Values.publish.retries }}
  activeDeadlineSeconds: {{ mul (add (int .root.Values.publish.timeout) 120) (add1 (int .root.Values.publish.retries)) }}
  template:
    metadata:
      labels:
        {{- include "penstock.labels" (dict "root" .root "part" "publish") | nindent 8 }}
        {{- with .root.Values.publish.podLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with merge (dict) .root.Values.publish.podAnnotations .root.Values.commonAnnotations }}
      annotations: {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      {{- include "penstock.podBasics" (dict "root" .root "at" .root.Values.publish) | nindent 6 }}
      restartPolicy: Never
      {{- with include "penstock.bundleInit" (dict "root" .root "bundle" .root.Values.bundle) | fromYamlArray }}
      initContainers: {{- toYaml . | nindent 8 }}
      {{- end }}
      containers:
        - name: publish
          image: {{ include "penstock.gatewayImage" .root }}
          imagePullPolicy: {{ .root.Values.image.pullPolicy }}
          command: [penstock]
          args:
            - publish
            {{- range include "penstock.documentFolders" .root | fromJsonArray }}
            - {{ . }}
            {{- end }}
            - --wait
            - {{ .root.Values.publish.timeout | quote }}
            {{- if .force }}
            - --force
            {{- end }}
          env:
            - {name: PENSTOCK_URL, value: {{ include "penstock.adminUrl" .root | quote }}}
            - name: PENSTOCK_TOKEN
              valueFrom: {secretKeyRef: {name: {{ include "penstock.credentialsName" .root }}, key: {{ .root.Values.credentials.adminTokenKey }}}}
            - {name: PYTHONDONTWRITEBYTECODE, value: "1"}
            - {name: HOME, value: /tmp}
          {{- with .root.Values.publish.resources }}
          resources: {{- toYaml . | nindent 12 }}
          {{- end }}
          securityContext: {{- toYaml .root.Values.containerSecurityContext | nindent 12 }}
          volumeMounts:
            - {name: tmp, mountPath: /tmp}
            {{- include "penstock.documentMounts" .root | trim | nindent 12 }}
      volumes:
        - name: tmp
          emptyDir: {sizeLimit: 64Mi}
        {{- include "penstock.documentVolumes" .root | trim | nindent 8 }}
{{- end }}
