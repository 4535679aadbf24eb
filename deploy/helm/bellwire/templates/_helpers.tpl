{{/* Names and labels that all objects share. */}}
{{- define "bellwire.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "bellwire.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 58 | trimSuffix "-" }}
{{- else if contains (include "bellwire.name" .) .Release.Name }}
{{- .Release.Name | trunc 58 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "bellwire.name" .) | trunc 58 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "bellwire.selector" -}}
app.kubernetes.io/name: {{ include "bellwire.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "bellwire.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "bellwire.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "bellwire.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "bellwire.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "bellwire.image" -}}
{{- $own := ternary (printf "%s-embedded" .Chart.AppVersion) .Chart.AppVersion .Values.database.embedded }}
{{- printf "%s:%s" .Values.image.repository (default $own .Values.image.tag) }}
{{- end }}

{{/* The ConfigMap with rules and mappings, if there is one. */}}
{{- define "bellwire.files" -}}
{{- if .Values.filesConfigMap }}
{{- .Values.filesConfigMap }}
{{- else if or .Values.rules .Values.mappings }}
{{- include "bellwire.fullname" . }}-files
{{- end }}
{{- end }}

{{/* What MQTT listens on: a name and a port for each. */}}
{{- define "bellwire.mqttPorts" -}}
{{- if .Values.mqtt.plain }}
mqtt: 1883
{{- end }}
{{- if .Values.mqtt.websocket }}
mqtt-ws: 8083
{{- end }}
{{- if .Values.mqtt.tls.existingSecret }}
mqtts: 8883
mqtt-wss: 8084
{{- end }}
{{- end }}

{{- define "bellwire.httpPorts" -}}
http: 8080
{{- if .Values.http.tls.existingSecret }}
https: 8443
{{- end }}
{{- end }}

{{/* What cannot work, said before anything is installed. */}}
{{- define "bellwire.check" -}}
{{- if and (not .Values.database.embedded) (not .Values.database.existingSecret) }}
{{- fail "database.existingSecret must name a Secret with bellwire.toml, or database.embedded be true" }}
{{- end }}
{{- if not (include "bellwire.mqttPorts" . | fromYaml) }}
{{- fail "mqtt: one of plain, websocket and tls.existingSecret must be set" }}
{{- end }}
{{- if and .Values.database.reader.role (not .Values.database.reader.existingSecret) }}
{{- fail "database.reader.existingSecret must name the Secret with the role's password" }}
{{- end }}
{{- if and .Values.serviceMonitor.enabled (eq .Values.metrics.auth "token") (not .Values.serviceMonitor.tokenSecret) }}
{{- fail "serviceMonitor.tokenSecret must be set, or metrics.auth be `open`" }}
{{- end }}
{{- end }}
