//! Faults that are put into the Helm chart, each with what is to be said of it.

/// File, a text in it, what it is replaced by, what is said then.
pub(super) type Spoil = [&'static str; 4];

const SET: &str = "templates/statefulset.yaml";
const ENVIRONMENT: &str = "templates/_environment.tpl";

/// The first are found by Helm or by Kubernetes' schemas, the others by us.
pub(super) const SPOILS: [Spoil; 25] = [
    [SET, "{{- end }}", "{{- ennd }}", "ennd"],
    [
        SET,
        "terminationGracePeriodSeconds: {",
        "terminationGracePeriod: {",
        "terminationGracePeriod",
    ],
    ["templates/services.yaml", "port: {{ $port }}", "port: x", "is not of type 'integer'"],
    [SET, "replicas: 1", "replicas: 2", "has one replica"],
    [SET, "path: /healthz", "path: /health", "no route `/health`"],
    [SET, "port: http\n", "port: web\n", "`web` is no port"],
    [SET, "args: [\"serve\"]", "args: [\"start\"]", "`bellwire start`"],
    [SET, "runAsNonRoot: true", "runAsNonRoot: false", "runAsNonRoot"],
    [
        SET,
        "readOnlyRootFilesystem: true",
        "readOnlyRootFilesystem: false",
        "readOnlyRootFilesystem",
    ],
    [SET, "drop: [\"ALL\"]", "drop: [\"NET_RAW\"]", "drop"],
    [SET, "OnRootMismatch", "Always", "fsGroupChangePolicy"],
    [
        SET,
        "mountPath: /var/lib/bellwire",
        "mountPath: /data",
        "BELLWIRE_DATA_DIR is /var/lib/bellwire/data",
    ],
    [SET, "mountPath: /etc/bellwire/secret", "mountPath: /etc/secret", "BELLWIRE_CONFIG is"],
    [
        SET,
        "name: http-tls\n              mountPath",
        "name: https-tls\n              mountPath",
        "no volume `https-tls`",
    ],
    [ENVIRONMENT, "BELLWIRE_HTTP_AUTH_METRICS", "BELLWIRE_HTTP_METRICS", "is no key"],
    [ENVIRONMENT, "0.0.0.0:8883", "0.0.0.0:8884", "listens on"],
    [ENVIRONMENT, "mqtt-tls/tls.crt", "mqtt/tls.crt", "BELLWIRE_MQTT_TLS_CERT_FILE is"],
    [
        "templates/services.yaml",
        "targetPort: {{ $name }}",
        "targetPort: mqtt-x",
        "`mqtt-x` is no port",
    ],
    ["templates/networkpolicy.yaml", "- port: {{ $port }}", "- port: 1883", "lets in"],
    ["templates/monitoring.yaml", "path: /metrics", "path: /metric", "no route `/metric`"],
    [
        "templates/monitoring.yaml",
        "replacement: bellwire",
        "replacement: plant",
        "look for job `bellwire`",
    ],
    ["templates/tests/healthcheck.yaml", "--ready", "--readyy", "--readyy"],
    ["templates/tests/healthcheck.yaml", ":8080", ":80", "asks http://plant-7:80"],
    ["templates/ingress.yaml", "name: http\n", "name: web\n", "`web` is no port"],
    ["templates/poddisruptionbudget.yaml", "bellwire.selector", "bellwire.labels", "selects"],
];
