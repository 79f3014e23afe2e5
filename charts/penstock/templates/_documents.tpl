{{/* Documents as volumes: of the chart's ConfigMap, of others, and out of the bundle's image. */}}

{{/* Files under the keys that a ConfigMap may have, at their paths. */}}
{{- define "penstock.items" -}}
{{- $items := list }}
{{- range $path, $text := . }}{{ $items = append $items (dict "key" (include "penstock.key" $path) "path" $path) }}{{ end }}
{{- toJson $items }}
{{- end }}

{{- define "penstock.fileData" -}}
{{- range $path, $text := . }}
{{ include "penstock.key" $path }}: {{ $text | quote }}
{{- end }}
{{- end }}

{{- define "penstock.documentVolumes" -}}
{{- if include "penstock.documentsInChart" . }}
- name: documents
  projected:
    sources:
      {{- if .Values.documents.files }}
      - configMap: {name: {{ include "penstock.fullname" . }}-documents, items: {{- include "penstock.items" .Values.documents.files | nindent 10 }}}
      {{- end }}
      {{- range .Values.documents.configMaps }}
      - configMap: {name: {{ . }}}
      {{- end }}
{{- end }}
{{- if .Values.bundle.image }}
- name: bundle
  emptyDir: {sizeLimit: 1Gi}
{{- end }}
{{- end }}

{{- define "penstock.documentMounts" -}}
{{- if include "penstock.documentsInChart" . }}
- {name: documents, mountPath: /etc/penstock/documents, readOnly: true}
{{- end }}
{{- if .Values.bundle.image }}
- {name: bundle, mountPath: /bundle, readOnly: true}
{{- end }}
{{- end }}

{{/* The folders that are published. */}}
{{- define "penstock.documentFolders" -}}
{{- $folders := list }}
{{- if include "penstock.documentsInChart" . }}{{ $folders = append $folders "/etc/penstock/documents" }}{{ end }}
{{- if include "penstock.documentsInBundle" . }}{{ $folders = append $folders "/bundle/documents" }}{{ end }}
{{- toJson $folders }}
{{- end }}

{{/* Copies out of a bundle's image, which has `sh` and `cp`; a list of no or one container: (dict "root" . "bundle"
BUNDLE), whose image may be empty. */}}
{{- define "penstock.bundleInit" -}}
{{- $root := .root }}
{{- with .bundle }}
{{- if .image }}
{{- $copies := list }}
{{- if .documents }}{{ $copies = append $copies (printf "cp -R %s /bundle/documents" (squote .documents)) }}{{ end }}
{{- if .python }}{{ $copies = append $copies (printf "cp -R %s /bundle/python" (squote .python)) }}{{ end }}
- name: bundle
  image: {{ .image }}
  imagePullPolicy: {{ .pullPolicy }}
  command: [sh, -ec, {{ join " && " (prepend $copies "rm -rf /bundle/documents /bundle/python") | quote }}]
  resources: {{- toYaml .resources | nindent 4 }}
  securityContext: {{- toYaml $root.Values.containerSecurityContext | nindent 4 }}
  volumeMounts:
    - {name: bundle, mountPath: /bundle}
{{- else }}
[]
{{- end }}
{{- end }}
{{- end }}

{{/* The Environment of the nodes: values as they stand, secrets as files. */}}
{{- define "penstock.environmentDocument" -}}
{{- $secrets := dict }}
{{- range $name, $from := .Values.environment.secrets }}
{{- $secrets = set $secrets $name (dict "file" (printf "/etc/penstock/secrets/%s" $name)) }}
{{- end }}
{{- $document := dict "kind" "Environment" }}
{{- with .Values.environment.values }}{{ $document = set $document "values" . }}{{ end }}
{{- with $secrets }}{{ $document = set $document "secrets" . }}{{ end }}
{{- toYaml $document }}
{{- end }}
