/* ESP-IDF for a test: esp-mqtt over libmosquitto. One thread is what esp-mqtt's task is: it connects, again and again,
 * and calls the handler. */
#include <mosquitto.h>
#include <mqtt_protocol.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "esp_crt_bundle.h"
#include "mqtt_client.h"

struct esp_mqtt_client {
    struct mosquitto *mosquitto;
    char host[256];
    int port, keepalive, reconnect_timeout_ms;
    uint32_t session_expiry_interval;
    esp_mqtt_event_id_t wanted;
    esp_event_handler_t handler;
    void *handler_arg;
    int n_published, published_max; /* it ends then; 0: never */
    bool done;
};

static void tell(struct esp_mqtt_client *client, esp_mqtt_event_t event)
{
    event.client = client;
    if (client->handler != NULL && (client->wanted == MQTT_EVENT_ANY || client->wanted == event.event_id)) {
        client->handler(client->handler_arg, "MQTT_EVENTS", event.event_id, &event);
    }
}

static void on_connect(struct mosquitto *mosquitto, void *obj, int code, int flags, const mosquitto_property *properties)
{
    (void)mosquitto;
    (void)properties;
    struct esp_mqtt_client *client = obj;
    if (code == 0) {
        tell(client, (esp_mqtt_event_t){ .event_id = MQTT_EVENT_CONNECTED, .session_present = flags & 1 });
        return;
    }
    esp_mqtt_error_codes_t error = { MQTT_ERROR_TYPE_CONNECTION_REFUSED, (esp_mqtt_connect_return_code_t)code };
    tell(client, (esp_mqtt_event_t){ .event_id = MQTT_EVENT_ERROR, .error_handle = &error });
}

static void on_publish(struct mosquitto *mosquitto, void *obj, int mid, int reason, const mosquitto_property *properties)
{
    (void)mosquitto;
    (void)reason;
    (void)properties;
    struct esp_mqtt_client *client = obj;
    tell(client, (esp_mqtt_event_t){ .event_id = MQTT_EVENT_PUBLISHED, .msg_id = mid });
    client->done = ++client->n_published == client->published_max;
}

static void on_message(struct mosquitto *mosquitto, void *obj, const struct mosquitto_message *message,
                       const mosquitto_property *properties)
{
    (void)mosquitto;
    char *response_topic = NULL;
    esp_mqtt5_event_property_t property = { NULL, 0 };
    if (mosquitto_property_read_string(properties, MQTT_PROP_RESPONSE_TOPIC, &response_topic, false) != NULL) {
        property = (esp_mqtt5_event_property_t){ response_topic, (int)strlen(response_topic) };
    }
    tell(obj, (esp_mqtt_event_t){
                  .event_id = MQTT_EVENT_DATA,
                  .data = message->payload,
                  .data_len = message->payloadlen,
                  .total_data_len = message->payloadlen,
                  .topic = message->topic,
                  .topic_len = (int)strlen(message->topic),
                  .msg_id = message->mid,
                  .property = &property,
              });
    free(response_topic);
}

static int try_to_connect(struct esp_mqtt_client *client)
{
    mosquitto_property *properties = NULL;
    mosquitto_property_add_int32(&properties, MQTT_PROP_SESSION_EXPIRY_INTERVAL, client->session_expiry_interval);
    int code = mosquitto_connect_bind_v5(client->mosquitto, client->host, client->port, client->keepalive, NULL, properties);
    mosquitto_property_free_all(&properties);
    return code;
}

static void *serve(void *arg)
{
    struct esp_mqtt_client *client = arg;
    for (;;) {
        tell(client, (esp_mqtt_event_t){ .event_id = MQTT_EVENT_BEFORE_CONNECT });
        int code = try_to_connect(client);
        while (code == MOSQ_ERR_SUCCESS) {
            code = mosquitto_loop(client->mosquitto, 100, 1);
            if (client->done) {
                mosquitto_disconnect(client->mosquitto);
                exit(0);
            }
        }
        esp_mqtt_error_codes_t error = { MQTT_ERROR_TYPE_TCP_TRANSPORT, MQTT_CONNECTION_ACCEPTED };
        tell(client, (esp_mqtt_event_t){ .event_id = MQTT_EVENT_ERROR, .error_handle = &error });
        tell(client, (esp_mqtt_event_t){ .event_id = MQTT_EVENT_DISCONNECTED });
        usleep((useconds_t)client->reconnect_timeout_ms * 1000);
    }
    return NULL;
}

/* Takes `mqtt://HOST[:PORT]` and `mqtts://HOST[:PORT]`. */
static bool read_uri(struct esp_mqtt_client *client, const char *uri, bool *tls)
{
    char scheme[8];
    *tls = strncmp(uri, "mqtts:", 6) == 0;
    client->port = *tls ? 8883 : 1883;
    return sscanf(uri, "%7[a-z]://%255[^:/]:%d", scheme, client->host, &client->port) >= 2;
}

esp_mqtt_client_handle_t esp_mqtt_client_init(const esp_mqtt_client_config_t *config)
{
    bool tls;
    struct esp_mqtt_client *client = calloc(1, sizeof *client);
    if (!read_uri(client, config->broker.address.uri, &tls) || config->session.protocol_ver != MQTT_PROTOCOL_V_5) {
        return NULL;
    }
    const char *max = getenv("SHIM_PUBLISHED");
    client->published_max = max != NULL ? atoi(max) : 0;
    client->keepalive = config->session.keepalive > 0 ? config->session.keepalive : 120;
    client->reconnect_timeout_ms = config->network.reconnect_timeout_ms > 0 ? config->network.reconnect_timeout_ms : 10000;
    mosquitto_lib_init();
    client->mosquitto = mosquitto_new(config->credentials.client_id, !config->session.disable_clean_session, client);
    mosquitto_threaded_set(client->mosquitto, true);
    mosquitto_int_option(client->mosquitto, MOSQ_OPT_PROTOCOL_VERSION, MQTT_PROTOCOL_V5);
    mosquitto_username_pw_set(client->mosquitto, config->credentials.username, config->credentials.authentication.password);
    if (tls && config->broker.verification.crt_bundle_attach != NULL) {
        mosquitto_tls_set(client->mosquitto, NULL, "/etc/ssl/certs", NULL, NULL, NULL);
    }
    mosquitto_connect_v5_callback_set(client->mosquitto, on_connect);
    mosquitto_publish_v5_callback_set(client->mosquitto, on_publish);
    mosquitto_message_v5_callback_set(client->mosquitto, on_message);
    return client;
}

esp_err_t esp_mqtt5_client_set_connect_property(esp_mqtt5_client_handle_t client,
                                                const esp_mqtt5_connection_property_config_t *connect_property)
{
    client->session_expiry_interval = connect_property->session_expiry_interval;
    return ESP_OK;
}

esp_err_t esp_mqtt_client_register_event(esp_mqtt_client_handle_t client, esp_mqtt_event_id_t event,
                                         esp_event_handler_t event_handler, void *event_handler_arg)
{
    client->wanted = event;
    client->handler = event_handler;
    client->handler_arg = event_handler_arg;
    return ESP_OK;
}

esp_err_t esp_mqtt_client_start(esp_mqtt_client_handle_t client)
{
    pthread_t task;
    return pthread_create(&task, NULL, serve, client) == 0 ? ESP_OK : ESP_FAIL;
}

int esp_mqtt_client_enqueue(esp_mqtt_client_handle_t client, const char *topic, const char *data, int len, int qos,
                            int retain, bool store)
{
    (void)store;
    int mid = -1;
    int size = len > 0 ? len : (int)strlen(data);
    int code = mosquitto_publish(client->mosquitto, &mid, topic, size, data, qos, retain != 0);
    return code == MOSQ_ERR_SUCCESS || code == MOSQ_ERR_NO_CONN ? mid : -1;
}

int esp_mqtt_client_subscribe_single(esp_mqtt_client_handle_t client, const char *topic, int qos)
{
    int mid = -1;
    return mosquitto_subscribe(client->mosquitto, &mid, topic, qos) == MOSQ_ERR_SUCCESS ? mid : -1;
}

esp_err_t esp_crt_bundle_attach(void *conf)
{
    (void)conf;
    return ESP_OK;
}
