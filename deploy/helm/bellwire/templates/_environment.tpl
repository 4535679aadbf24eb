{{/* The configuration, but for its secrets. */}}
{{- define "bellwire.environment" -}}
# A folder of the volume: its root may have a `lost+found`, and a restore wants it empty.
- name: BELLWIRE_DATA_DIR
  value: /var/lib/bellwire/data
- name: BELLWIRE_MQTT_LISTEN
  value: {{ ternary "0.0.0.0:1883" "127.0.0.1:1883" .Values.mqtt.plain }}
- name: BELLWIRE_HTTP_LISTEN
  value: 0.0.0.0:8080
- name: BELLWIRE_HTTP_AUTH_METRICS
  value: {{ .Values.metrics.auth }}
{{- if .Values.mqtt.websocket }}
- name: BELLWIRE_MQTT_WEBSOCKET_LISTEN
  value: 0.0.0.0:8083
{{- end }}
{{- if .Values.mqtt.tls.existingSecret }}
- name: BELLWIRE_MQTT_TLS_LISTEN
  value: 0.0.0.0:8883
- name: BELLWIRE_MQTT_WEBSOCKET_TLS_LISTEN
  value: 0.0.0.0:8084
- name: BELLWIRE_MQTT_TLS_CERT_FILE
  value: /etc/bellwire/mqtt-tls/tls.crt
- name: BELLWIRE_MQTT_TLS_KEY_FILE
  value: /etc/bellwire/mqtt-tls/tls.key
{{- end }}
{{- if .Values.http.tls.existingSecret }}
- name: BELLWIRE_HTTP_TLS_LISTEN
  value: 0.0.0.0:8443
- name: BELLWIRE_HTTP_TLS_CERT_FILE
  value: /etc/bellwire/http-tls/tls.crt
- name: BELLWIRE_HTTP_TLS_KEY_FILE
  value: /etc/bellwire/http-tls/tls.key
{{- end }}
{{- with .Values.http.trustedProxies }}
- name: BELLWIRE_HTTP_TRUSTED_PROXIES
  value: {{ join "," . | quote }}
{{- end }}
{{- if .Values.database.existingSecret }}
- name: BELLWIRE_CONFIG
  value: /etc/bellwire/secret/bellwire.toml
{{- end }}
{{- with .Values.database.reader.role }}
- name: BELLWIRE_DATABASE_READER_ROLE
  value: {{ . | quote }}
- name: BELLWIRE_DATABASE_READER_PASSWORD_FILE
  value: /etc/bellwire/reader/password
{{- end }}
{{- if or .Values.rules .Values.filesConfigMap }}
- name: BELLWIRE_RULES
  value: /etc/bellwire/files/rules.toml
{{- end }}
{{- if or .Values.mappings .Values.filesConfigMap }}
- name: BELLWIRE_MAPPINGS
  value: /etc/bellwire/files/mappings.toml
{{- end }}
{{- range $key, $value := .Values.settings }}
- name: BELLWIRE_{{ $key | replace "." "_" | upper }}
  value: {{ $value | toString | quote }}
{{- end }}
{{- end }}
