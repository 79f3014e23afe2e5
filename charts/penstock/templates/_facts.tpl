{{/* What follows from values: each is asked in several templates. "true" or "" where it is a question. */}}

{{- define "penstock.embedded" -}}
{{- if eq .Values.store.mode "embedded" }}true{{ end }}
{{- end }}

{{- define "penstock.bundled" -}}
{{- if eq .Values.store.mode "bundled" }}true{{ end }}
{{- end }}

{{/* An embedded store means one node. */}}
{{- define "penstock.replicas" -}}
{{- if include "penstock.embedded" . }}1{{ else if .Values.autoscaling.enabled }}{{ .Values.autoscaling.minReplicas }}{{ else }}{{ .Values.gateway.replicas }}{{ end }}
{{- end }}

{{- define "penstock.severalNodes" -}}
{{- if gt (int (include "penstock.replicas" .)) 1 }}true{{ end }}
{{- end }}

{{/* One worker for each CPU of the limit, else of the request; begun ones count. */}}
{{- define "penstock.workers" -}}
{{- $resources := .Values.gateway.resources | default dict }}
{{- $cpu := dig "limits" "cpu" "" $resources | default (dig "requests" "cpu" "1" $resources) | toString }}
{{- if .Values.gateway.workers }}{{ .Values.gateway.workers | int }}
{{- else if hasSuffix "m" $cpu }}{{ max 1 (divf (trimSuffix "m" $cpu) 1000 | ceil | int) }}
{{- else }}{{ max 1 (ceil $cpu | int) }}{{ end }}
{{- end }}

{{/* Seconds until a node has ended: its grace, half a second of the workers, five of the control process, the store's
own end, and room for a busy machine. */}}
{{- define "penstock.terminationSeconds" -}}
{{ add (ceil .Values.gateway.grace | int) 15 }}
{{- end }}

{{- define "penstock.documentsInChart" -}}
{{- if or .Values.documents.files .Values.documents.configMaps }}true{{ end }}
{{- end }}

{{- define "penstock.documentsInBundle" -}}
{{- if and .Values.bundle.image .Values.bundle.documents }}true{{ end }}
{{- end }}

{{- define "penstock.hasDocuments" -}}
{{- if or (include "penstock.documentsInChart" .) (include "penstock.documentsInBundle" .) }}true{{ end }}
{{- end }}

{{- define "penstock.publishes" -}}
{{- if and .Values.publish.enabled (include "penstock.hasDocuments" .) }}true{{ end }}
{{- end }}

{{/* Who publishes by other means starts with an empty gateway, and must not wait for it. */}}
{{- define "penstock.readyWhenEmpty" -}}
{{- if kindIs "bool" .Values.gateway.readyWhenEmpty }}{{ .Values.gateway.readyWhenEmpty }}
{{- else }}{{ if include "penstock.publishes" . }}false{{ else }}true{{ end }}{{ end }}
{{- end }}

{{- define "penstock.hasEnvironment" -}}
{{- if or .Values.environment.values .Values.environment.secrets .Values.environment.existingConfigMap.name }}true{{ end }}
{{- end }}

{{- define "penstock.credentialsName" -}}
{{- .Values.credentials.existingSecret | default (printf "%s-credentials" (include "penstock.fullname" .)) }}
{{- end }}

{{/* (root, file) as a key of a ConfigMap, which knows no slash. */}}
{{- define "penstock.key" -}}
{{ . | replace "/" "__" }}
{{- end }}
