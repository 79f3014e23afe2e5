{{/* Where the store is: environment and volumes of a gateway's container. No password stands in a URL of the chart's
own: it is a variable of its own, from a Secret. */}}

{{- define "penstock.storeScheme" -}}
{{- $tls := .Values.store.external.tls.enabled }}
{{- $base := ternary "rediss" "redis" $tls }}
{{- $topology := .Values.store.external.topology }}
{{- if eq $topology "single" }}{{ $base }}{{ else }}{{ $base }}+{{ $topology }}{{ end }}
{{- end }}

{{- define "penstock.storeUrl" -}}
{{- $external := .Values.store.external }}
{{- if include "penstock.bundled" . -}}
redis://{{ include "penstock.storeName" . }}.{{ .Release.Namespace }}.svc:6379
{{- else -}}
{{- $user := ternary (printf "%s@" (urlquery $external.username)) "" (ne $external.username "") }}
{{- $path := "" }}
{{- if eq $external.topology "sentinel" }}{{ $path = printf "/%s/%d" $external.master (int $external.database) }}
{{- else if int $external.database }}{{ $path = printf "/%d" (int $external.database) }}{{ end }}
{{- $query := list }}
{{- if $external.tls.caSecret.name }}{{ $query = append $query "ssl_ca_certs=/etc/penstock/store-ca/ca.crt" }}{{ end }}
{{- if and $external.tls.enabled (not $external.tls.checkHostname) }}{{ $query = append $query "ssl_check_hostname=false" }}{{ end }}
{{- if $external.tls.clientSecret.name }}{{ $query = concat $query (list "ssl_certfile=/etc/penstock/store-client/tls.crt" "ssl_keyfile=/etc/penstock/store-client/tls.key") }}{{ end }}
{{- include "penstock.storeScheme" . }}://{{ $user }}{{ join "," $external.hosts }}{{ $path }}{{ if $query }}?{{ join "&" $query }}{{ end }}
{{- end }}
{{- end }}

{{- define "penstock.storeEnv" -}}
{{- $external := .Values.store.external }}
{{- if include "penstock.embedded" . }}
{{- else if and (eq .Values.store.mode "external") $external.urlSecret.name }}
- name: PENSTOCK_STORE
  valueFrom: {secretKeyRef: {name: {{ $external.urlSecret.name }}, key: {{ $external.urlSecret.key }}}}
{{- else }}
- name: PENSTOCK_STORE
  value: {{ include "penstock.storeUrl" . | quote }}
{{- end }}
{{- if include "penstock.bundled" . }}
- name: PENSTOCK_STORE_PASSWORD
  valueFrom: {{- include "penstock.bundledPassword" . | trim | nindent 4 }}
{{- else if eq .Values.store.mode "external" }}
{{- with $external.passwordSecret }}{{ if .name }}
- name: PENSTOCK_STORE_PASSWORD
  valueFrom: {secretKeyRef: {name: {{ .name }}, key: {{ .key }}}}
{{- end }}{{ end }}
{{- with $external.sentinelPasswordSecret }}{{ if and .name (eq $external.topology "sentinel") }}
- name: PENSTOCK_SENTINEL_PASSWORD
  valueFrom: {secretKeyRef: {name: {{ .name }}, key: {{ .key }}}}
{{- end }}{{ end }}
{{- end }}
{{- end }}

{{- define "penstock.bundledPassword" -}}
{{- $given := .Values.store.bundled.existingPasswordSecret }}
secretKeyRef:
  name: {{ $given.name | default (printf "%s-credentials" (include "penstock.fullname" .)) }}
  key: {{ ternary $given.key "store-password" (ne $given.name "") }}
{{- end }}

{{- define "penstock.storeVolumes" -}}
{{- if eq .Values.store.mode "external" }}
{{- with .Values.store.external.tls.caSecret }}{{ if .name }}
- name: store-ca
  secret: {secretName: {{ .name }}, defaultMode: 0440, items: [{key: {{ .key }}, path: ca.crt}]}
{{- end }}{{ end }}
{{- with .Values.store.external.tls.clientSecret }}{{ if .name }}
- name: store-client
  secret:
    secretName: {{ .name }}
    defaultMode: 0440
    items: [{key: {{ .certKey }}, path: tls.crt}, {key: {{ .keyKey }}, path: tls.key}]
{{- end }}{{ end }}
{{- end }}
{{- end }}

{{- define "penstock.storeMounts" -}}
{{- if eq .Values.store.mode "external" }}
{{- if .Values.store.external.tls.caSecret.name }}
- {name: store-ca, mountPath: /etc/penstock/store-ca, readOnly: true}
{{- end }}
{{- if .Values.store.external.tls.clientSecret.name }}
- {name: store-client, mountPath: /etc/penstock/store-client, readOnly: true}
{{- end }}
{{- end }}
{{- end }}
