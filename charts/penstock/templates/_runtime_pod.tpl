{{/* The pod of a runtime: (dict "root" . "name" NAME "at" ITS-VALUES), as `penstock.runtimes` has them. */}}

{{- define "penstock.runtimePod" -}}
{{- $root := .root }}
{{- $at := .at }}
metadata:
  labels:
    {{- include "penstock.labels" (dict "root" $root "part" .part) | nindent 4 }}
    {{- with $at.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    checksum/python: {{ toJson $at.processes.files | sha256sum }}
    {{- with merge (dict) $at.podAnnotations $root.Values.commonAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- include "penstock.podBasics" . | nindent 2 }}
  terminationGracePeriodSeconds: {{ add (ceil $at.drainDelay | int) (ceil $at.grace | int) 15 }}
  {{- with include "penstock.spread" . | trim }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- with $at.hostAliases }}
  hostAliases: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $at.dnsConfig }}
  dnsConfig: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with concat (include "penstock.bundleInit" (dict "root" $root "bundle" $at.bundle) | fromYamlArray) $at.extraInitContainers }}
  initContainers:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: runtime
      image: {{ include "penstock.runtimeImage" . }}
      imagePullPolicy: {{ $at.image.pullPolicy | default $root.Values.image.pullPolicy }}
      command: [penstock]
      args: [runtime]
      env:
        {{- include "penstock.runtimeEnv" . | trim | nindent 8 }}
      {{- with $at.extraEnvFrom }}
      envFrom: {{- toYaml . | nindent 8 }}
      {{- end }}
      ports:
        - {name: runtime, containerPort: {{ $at.port }}, protocol: TCP}
        - {name: metrics, containerPort: {{ $at.metricsPort }}, protocol: TCP}
      startupProbe:
        httpGet: {path: /live, port: metrics}
        {{- toYaml $at.probes.startup | nindent 8 }}
      livenessProbe:
        httpGet: {path: /live, port: metrics}
        {{- toYaml $at.probes.liveness | nindent 8 }}
      readinessProbe:
        httpGet: {path: /ready, port: metrics}
        {{- toYaml $at.probes.readiness | nindent 8 }}
      {{- with $at.resources }}
      resources: {{- toYaml . | nindent 8 }}
      {{- end }}
      securityContext: {{- toYaml $root.Values.containerSecurityContext | nindent 8 }}
      volumeMounts:
        {{- include "penstock.runtimeMounts" . | trim | nindent 8 }}
    {{- with $at.extraContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  volumes:
    {{- include "penstock.runtimeVolumes" . | trim | nindent 4 }}
{{- end }}

{{/* The gateway's own where nothing else is said; a repository alone has the gateway's tag. */}}
{{- define "penstock.runtimeImage" -}}
{{- $own := .at.image }}
{{- $default := .root.Values.image }}
{{- if or $own.repository $own.tag $own.digest }}
{{- $image := dict "repository" ($own.repository | default $default.repository) "tag" $own.tag "digest" $own.digest }}
{{- include "penstock.image" (dict "image" $image "default" ($default.tag | default .root.Chart.AppVersion)) }}
{{- else }}
{{- include "penstock.gatewayImage" .root }}
{{- end }}
{{- end }}

{{/* Every setting is a variable: they win over those that an image has. */}}
{{- define "penstock.runtimeEnv" -}}
{{- $host := .root.Values.gateway.bindAddress }}
- {name: PENSTOCK_RUNTIME_PROCESSES, value: {{ join "," .at.processes.packages | quote }}}
- {name: PENSTOCK_RUNTIME_LISTEN, value: {{ include "penstock.runtimeListen" . | quote }}}
- name: PENSTOCK_RUNTIME_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
{{- include "penstock.runtimeTokenEnv" (dict "root" .root "name" "PENSTOCK_RUNTIME_TOKEN") }}
- {name: PENSTOCK_RUNTIME_METRICS_HOST, value: {{ $host | quote }}}
- {name: PENSTOCK_RUNTIME_METRICS_PORT, value: {{ int .at.metricsPort | quote }}}
- {name: PENSTOCK_RUNTIME_THREADS, value: {{ int .at.threads | quote }}}
- {name: PENSTOCK_RUNTIME_WAITING, value: {{ int64 .at.waiting | quote }}}
- {name: PENSTOCK_RUNTIME_DRAIN_DELAY, value: {{ .at.drainDelay | quote }}}
- {name: PENSTOCK_RUNTIME_GRACE, value: {{ .at.grace | quote }}}
{{- range $name, $value := .at.settings }}
- {name: PENSTOCK_RUNTIME_{{ upper $name }}, value: {{ ternary (int64 $value | toString) (toString $value) (kindIs "float64" $value) | quote }}}
{{- end }}
{{- with include "penstock.pythonPath" (dict "processes" .at.processes "bundle" .at.bundle) }}
- name: PYTHONPATH
  value: {{ . }}
{{- end }}
- {name: PYTHONDONTWRITEBYTECODE, value: "1"}
- {name: TMPDIR, value: /tmp}
- {name: HOME, value: /tmp}
{{- with .at.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "penstock.runtimeListen" -}}
{{- $host := .root.Values.gateway.bindAddress }}
{{- contains ":" $host | ternary (printf "[%s]" $host) $host }}:{{ int .at.port }}
{{- with .at.tls }}{{ if .enabled }} certificate=/etc/penstock/tls/tls.crt key=/etc/penstock/tls/tls.key min_version={{ .minVersion }}
{{- if or .clientCaSecret.name .clientSecretName }} client_ca=/etc/penstock/tls/client-ca.crt{{ end }}
{{- end }}{{ end }}
{{- end }}

{{- define "penstock.runtimeMounts" -}}
- {name: tmp, mountPath: /tmp}
{{- include "penstock.pythonMounts" .at.processes }}
{{- if .at.bundle.image }}
- {name: bundle, mountPath: /bundle, readOnly: true}
{{- end }}
{{- if .at.tls.enabled }}
- {name: tls, mountPath: /etc/penstock/tls, readOnly: true}
{{- end }}
{{- with .at.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "penstock.runtimeVolumes" -}}
- name: tmp
  emptyDir: {sizeLimit: 256Mi}
{{- include "penstock.pythonVolumes" (dict "processes" .at.processes "name" (printf "%s-python" .full)) }}
{{- if .at.bundle.image }}
- name: bundle
  emptyDir: {sizeLimit: 1Gi}
{{- end }}
{{- with .at.tls }}{{ if .enabled }}
- name: tls
  projected:
    defaultMode: 0440
    sources:
      - secret: {name: {{ .secretName }}, items: [{key: tls.crt, path: tls.crt}, {key: tls.key, path: tls.key}]}
      {{- if or .clientCaSecret.name .clientSecretName }}
      - secret: {name: {{ .clientCaSecret.name | default .clientSecretName }}, items: [{key: {{ .clientCaSecret.key }}, path: client-ca.crt}]}
      {{- end }}
{{- end }}{{ end }}
{{- with .at.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}
