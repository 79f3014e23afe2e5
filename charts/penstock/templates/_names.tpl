{{/* Names, labels and selectors. */}}

{{- define "penstock.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* Of the release's objects; at most 40 characters, so that suffixes and hashes of pods fit into 63. */}}
{{- define "penstock.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains (include "penstock.name" .) .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "penstock.name" .) | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* What a selector names; `part` is gateway, store, publish, test or
runtime-NAME. Never changed: a Deployment's selector cannot be. */}}
{{- define "penstock.selector" -}}
app.kubernetes.io/name: {{ include "penstock.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end }}

{{- define "penstock.labels" -}}
{{ include "penstock.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: penstock
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* metadata: of an object: (dict "root" . "part" "gateway" "name" NAME "labels" MORE "annotations" MORE) */}}
{{- define "penstock.metadata" -}}
name: {{ .name }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "penstock.labels" . | nindent 2 }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- $annotations := merge (dict) (.annotations | default dict) .root.Values.commonAnnotations }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "penstock.image" -}}
{{- $tag := .image.tag | default .default }}
{{- if .image.digest }}{{ .image.repository }}@{{ .image.digest }}{{ else }}{{ .image.repository }}:{{ $tag }}{{ end }}
{{- end }}

{{- define "penstock.gatewayImage" -}}
{{- include "penstock.image" (dict "image" .Values.image "default" .Chart.AppVersion) }}
{{- end }}

{{- define "penstock.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}{{ default (include "penstock.fullname" .) .Values.serviceAccount.name }}
{{- else }}{{ default "default" .Values.serviceAccount.name }}{{ end }}
{{- end }}

{{- define "penstock.adminService" -}}
{{ include "penstock.fullname" . }}-admin
{{- end }}

{{- define "penstock.adminUrl" -}}
http://{{ include "penstock.adminService" . }}.{{ .Release.Namespace }}.svc:{{ .Values.admin.port }}
{{- end }}

{{- define "penstock.storeName" -}}
{{ include "penstock.fullname" . }}-store
{{- end }}
