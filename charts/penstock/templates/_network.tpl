{{/* Where a gateway may connect to: names, the store, the runtimes, and what the values add. Its backends are `extra`. */}}
{{- define "penstock.gatewayEgress" -}}
{{- $egress := .Values.networkPolicy.egress }}
- ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
  to: {{- toYaml $egress.dns | nindent 4 }}
{{- if include "penstock.bundled" . }}
- ports: [{port: 6379, protocol: TCP}]
  to:
    - podSelector:
        matchLabels: {{- include "penstock.selector" (dict "root" . "part" "store") | nindent 10 }}
{{- else if eq .Values.store.mode "external" }}
{{- $ports := list }}
{{- range .Values.store.external.hosts }}{{ $ports = append $ports (regexFind "[0-9]+$" . | int) }}{{ end }}
{{- /* Behind Sentinels, and in a cluster, what they lead to listens where the usual port is, or where `extra` says. */}}
{{- if or (ne .Values.store.external.topology "single") (not $ports) }}{{ $ports = append $ports 6379 }}{{ end }}
- ports:
    {{- range $ports | uniq }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
{{- end }}
{{- range $name, $runtime := include "penstock.runtimes" . | fromJson }}
- ports: [{port: {{ $runtime.at.port }}, protocol: TCP}]
  to:
    - podSelector:
        matchLabels: {{- include "penstock.selector" (dict "root" $ "part" $runtime.part) | nindent 10 }}
{{- end }}
{{- with $egress.extra }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The port on which metrics are served without credentials; "" where Prometheus asks the admin REST with a token. */}}
{{- define "penstock.metricsPort" -}}
{{- if .Values.metrics.port }}{{ .Values.metrics.port | int }}{{ end }}
{{- end }}
