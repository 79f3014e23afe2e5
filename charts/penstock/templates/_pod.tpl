{{/* The gateway's pod, alike in a Deployment and a StatefulSet. */}}

{{- define "penstock.podTemplate" -}}
metadata:
  labels:
    {{- include "penstock.labels" (dict "root" . "part" "gateway") | nindent 4 }}
    {{- with .Values.gateway.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    {{- /* What a node reads at its start only makes a new pod; documents do not: the hook Job publishes those. */}}
    checksum/config: {{ include "penstock.config" . | sha256sum }}
    checksum/environment: {{ include "penstock.environmentDocument" . | sha256sum }}
    checksum/python: {{ toJson .Values.processes.files | sha256sum }}
    {{- with merge (dict) .Values.gateway.podAnnotations .Values.commonAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- include "penstock.podBasics" (dict "root" . "at" .Values.gateway) | nindent 2 }}
  terminationGracePeriodSeconds: {{ include "penstock.terminationSeconds" . }}
  {{- with include "penstock.spread" (dict "root" . "at" .Values.gateway "part" "gateway") | trim }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- with .Values.gateway.hostAliases }}
  hostAliases: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.gateway.dnsConfig }}
  dnsConfig: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- $init := concat (include "penstock.bundleInit" (dict "root" . "bundle" .Values.bundle) | fromYamlArray) .Values.gateway.extraInitContainers }}
  {{- with $init }}
  initContainers:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: gateway
      image: {{ include "penstock.gatewayImage" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      command: [penstock]
      args: [serve, --config, /etc/penstock/config/penstock.yaml]
      env:
        {{- include "penstock.gatewayEnv" . | nindent 8 }}
      {{- with .Values.gateway.extraEnvFrom }}
      envFrom: {{- toYaml . | nindent 8 }}
      {{- end }}
      ports:
        - {name: http, containerPort: {{ .Values.gateway.port }}, protocol: TCP}
        {{- if .Values.gateway.tls.enabled }}
        - {name: https, containerPort: {{ .Values.gateway.tls.port }}, protocol: TCP}
        {{- end }}
        - {name: admin, containerPort: {{ .Values.admin.port }}, protocol: TCP}
        {{- with include "penstock.metricsPort" . }}
        - {name: metrics, containerPort: {{ . }}, protocol: TCP}
        {{- end }}
      {{- include "penstock.probes" . | trim | nindent 6 }}
      {{- with .Values.gateway.resources }}
      resources: {{- toYaml . | nindent 8 }}
      {{- end }}
      securityContext: {{- toYaml .Values.containerSecurityContext | nindent 8 }}
      volumeMounts:
        {{- include "penstock.gatewayMounts" . | nindent 8 }}
    {{- with .Values.gateway.extraContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  volumes:
    {{- include "penstock.gatewayVolumes" . | trim | nindent 4 }}
{{- end }}

{{/* What every pod of the chart says; `at` has its own nodeSelector, tolerations and so on. */}}
{{- define "penstock.podBasics" -}}
serviceAccountName: {{ include "penstock.serviceAccountName" .root }}
automountServiceAccountToken: false
enableServiceLinks: false # a Service named penstock would become PENSTOCK_PORT, a setting
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ if kindIs "string" . }}{{ . }}{{ else }}{{ .name }}{{ end }}
  {{- end }}
{{- end }}
securityContext: {{- toYaml .root.Values.podSecurityContext | nindent 2 }}
{{- with .at.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .at.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .at.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .at.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .at.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- end }}

{{/* (dict "root" . "at" WHOSE-VALUES "part" PART); a gateway with an embedded store is alone. */}}
{{- define "penstock.spread" -}}
{{- $spread := .at.topologySpread }}
{{- if .at.topologySpreadConstraints }}
topologySpreadConstraints: {{- toYaml .at.topologySpreadConstraints | nindent 2 }}
{{- else if and $spread.enabled (not (and (eq .part "gateway") (include "penstock.embedded" .root))) }}
topologySpreadConstraints:
  {{- $given := . }}
  {{- range $spread.topologyKeys }}
  - topologyKey: {{ . }}
    maxSkew: 1
    whenUnsatisfiable: {{ $spread.whenUnsatisfiable }}
    matchLabelKeys: [pod-template-hash]
    labelSelector:
      matchLabels: {{- include "penstock.selector" (dict "root" $given.root "part" $given.part) | nindent 8 }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "penstock.probes" -}}
{{- $path := .Values.gateway.healthPath }}
startupProbe:
  httpGet: {path: {{ $path }}/live, port: http}
  {{- toYaml .Values.gateway.probes.startup | nindent 2 }}
livenessProbe:
  httpGet: {path: {{ $path }}/live, port: http}
  {{- toYaml .Values.gateway.probes.liveness | nindent 2 }}
readinessProbe:
  httpGet: {path: {{ $path }}/ready, port: http}
  {{- toYaml .Values.gateway.probes.readiness | nindent 2 }}
{{- end }}

{{- define "penstock.gatewayEnv" -}}
{{- /* An image may have variables of its own for these, which would win over the file. */}}
- {name: PENSTOCK_DATA, value: /var/lib/penstock/data}
- {name: PENSTOCK_CONTEXT, value: /var/lib/penstock/data/context.json}
- {name: PENSTOCK_HOST, value: {{ .Values.gateway.bindAddress | quote }}}
- name: PENSTOCK_NODE
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: PENSTOCK_KEY_SECRET
  valueFrom: {secretKeyRef: {name: {{ include "penstock.credentialsName" . }}, key: {{ .Values.credentials.keySecretKey }}}}
- name: PENSTOCK_ADMIN_TOKEN
  valueFrom: {secretKeyRef: {name: {{ include "penstock.credentialsName" . }}, key: {{ .Values.credentials.adminTokenKey }}}}
- name: PENSTOCK_VIEWER_TOKEN
  valueFrom: {secretKeyRef: {name: {{ include "penstock.credentialsName" . }}, key: {{ .Values.credentials.viewerTokenKey }}, optional: true}}
{{- include "penstock.runtimeTokenEnv" (dict "root" . "name" "PENSTOCK_RUNTIME_TOKEN") }}
{{- with .Values.admin.oidc }}{{ if .clientSecret.name }}
- name: PENSTOCK_ADMIN_OIDC_CLIENT_SECRET
  valueFrom: {secretKeyRef: {name: {{ .clientSecret.name }}, key: {{ .clientSecret.key }}}}
{{- end }}{{ end }}
{{- include "penstock.storeEnv" . }}
{{- with include "penstock.pythonPath" (dict "processes" .Values.processes "bundle" .Values.bundle) }}
- name: PYTHONPATH
  value: {{ . }}
{{- end }}
- {name: PYTHONDONTWRITEBYTECODE, value: "1"}
- {name: TMPDIR, value: /tmp}
- {name: HOME, value: /tmp}
{{- with .Values.gateway.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "penstock.gatewayMounts" -}}
- {name: data, mountPath: /var/lib/penstock}
- {name: tmp, mountPath: /tmp}
- {name: config, mountPath: /etc/penstock/config, readOnly: true}
{{- include "penstock.documentMounts" . }}
{{- if include "penstock.hasEnvironment" . }}
- {name: environment, mountPath: /etc/penstock/environment, readOnly: true}
{{- end }}
{{- if .Values.environment.secrets }}
- {name: secrets, mountPath: /etc/penstock/secrets, readOnly: true}
{{- end }}
{{- include "penstock.pythonMounts" .Values.processes }}
{{- include "penstock.runtimeTlsMounts" . }}
{{- if .Values.gateway.tls.enabled }}
- {name: tls, mountPath: /etc/penstock/tls, readOnly: true}
{{- if .Values.gateway.tls.clientCaSecret.name }}
- {name: client-ca, mountPath: /etc/penstock/client-ca, readOnly: true}
{{- end }}
{{- end }}
{{- include "penstock.storeMounts" . }}
{{- with .Values.gateway.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "penstock.gatewayVolumes" -}}
{{- $full := include "penstock.fullname" . }}
{{- if not (include "penstock.embedded" .) }}
- name: data
  emptyDir: {sizeLimit: {{ .Values.gateway.data.size }}}
{{- else if .Values.gateway.data.existingClaim }}
- name: data
  persistentVolumeClaim: {claimName: {{ .Values.gateway.data.existingClaim }}}
{{- end }}
- name: tmp
  emptyDir: {sizeLimit: 256Mi}
- name: config
  configMap: {name: {{ $full }}-config}
{{- include "penstock.documentVolumes" . }}
{{- if include "penstock.hasEnvironment" . }}
- name: environment
  configMap:
    {{- with .Values.environment.existingConfigMap }}
    name: {{ .name | default (printf "%s-environment" $full) }}
    items: [{key: {{ ternary .key "environment.yaml" (ne .name "") }}, path: environment.yaml}]
    {{- end }}
{{- end }}
{{- with .Values.environment.secrets }}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- range $name, $from := . }}
      - secret: {name: {{ $from.secret }}, items: [{key: {{ $from.key }}, path: {{ $name }}}]}
      {{- end }}
{{- end }}
{{- include "penstock.pythonVolumes" (dict "processes" .Values.processes "name" (printf "%s-python" $full)) }}
{{- include "penstock.runtimeTlsVolumes" . }}
{{- if .Values.gateway.tls.enabled }}
- name: tls
  secret: {secretName: {{ .Values.gateway.tls.secretName }}, defaultMode: 0440}
{{- with .Values.gateway.tls.clientCaSecret }}{{ if .name }}
- name: client-ca
  secret: {secretName: {{ .name }}, defaultMode: 0440, items: [{key: {{ .key }}, path: ca.crt}]}
{{- end }}{{ end }}
{{- end }}
{{- include "penstock.storeVolumes" . }}
{{- with .Values.gateway.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}
