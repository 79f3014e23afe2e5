{{/* The bundled store: every write is on disk within a second, and what is full refuses instead of forgetting. */}}
{{- define "penstock.valkeyConf" -}}
{{- $store := .Values.store.bundled }}
bind * -::*
port 6379
protected-mode no
dir /data
appendonly yes
appendfsync everysec
aof-use-rdb-preamble yes
save ""
maxmemory-policy noeviction
{{- with $store.maxMemory | default (include "penstock.seventyPercent" (dig "limits" "memory" "" ($store.resources | default dict))) }}
maxmemory {{ . }}
{{- end }}
tcp-keepalive 60
shutdown-timeout 30
{{- end }}

{{/* Of a memory quantity in Ki, Mi or Gi, in bytes with kb, mb; room for the rewriting of the log. */}}
{{- define "penstock.seventyPercent" -}}
{{- $text := toString . }}
{{- if hasSuffix "Gi" $text }}{{ mulf (trimSuffix "Gi" $text) 716.8 | int }}mb
{{- else if hasSuffix "Mi" $text }}{{ mulf (trimSuffix "Mi" $text) 0.7 | int }}mb
{{- else if hasSuffix "Ki" $text }}{{ mulf (trimSuffix "Ki" $text) 0.7 | int }}kb
{{- end }}
{{- end }}

{{- define "penstock.storeAsked" -}}
exec:
  command: [sh, -ec, 'REDISCLI_AUTH="$STORE_PASSWORD" valkey-cli -t 2 ping | grep -q PONG']
{{- end }}
