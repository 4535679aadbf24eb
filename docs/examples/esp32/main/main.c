/* A device that publishes its temperature, keeps what is not acknowledged, and answers commands.
 * For ESP-IDF 5. `idf.py menuconfig` has a menu "Bellwire device", and "Example Connection Configuration" for Wi-Fi. */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>

#include "esp_crt_bundle.h"
#include "esp_err.h"
#include "esp_event.h"
#include "esp_log.h"
#include "esp_netif.h"
#include "esp_netif_sntp.h"
#include "esp_random.h"
#include "freertos/FreeRTOS.h"
#include "freertos/queue.h"
#include "freertos/task.h"
#include "mqtt_client.h"
#include "nvs_flash.h"
#include "protocol_examples_common.h"
#include "sdkconfig.h"

#define TELEMETRY "devices/" CONFIG_BELLWIRE_DEVICE "/telemetry"
#define COMMANDS "devices/" CONFIG_BELLWIRE_DEVICE "/commands"
#define BUFFER_MAX 512    /* readings that are kept while the line is down, 8 KB; then the oldest go */
#define RESEND_MS 40000   /* longer than esp-mqtt keeps a message (30 s), so that there is one of it at most */

static const char *TAG = "device";

typedef struct {
    int64_t ts_ms;
    uint32_t seq;
    float temperature;
} reading_t;

static reading_t waiting[BUFFER_MAX]; /* a ring: measured, not sent */
static size_t oldest, n_waiting;
static uint32_t seq;

static reading_t sending; /* the one that is on its way, if `holding` */
static bool holding;
static int message = -1; /* its message id; negative: it has none yet */
static TickType_t sent_at;

static QueueHandle_t acknowledged; /* message ids; esp-mqtt's task says them to ours */
static atomic_bool online;
static atomic_int interval_s = CONFIG_BELLWIRE_INTERVAL_S;

/* What the sensor says; here something around 21 degrees. */
static float read_temperature(void)
{
    return 21.0f + (float)(esp_random() % 100) / 100.0f - 0.5f;
}

/* A reading with its own time and number, so that it may come late, and twice. */
static void measure(void)
{
    struct timeval now;
    gettimeofday(&now, NULL);
    if (n_waiting == BUFFER_MAX) {
        oldest = (oldest + 1) % BUFFER_MAX;
        n_waiting--;
        ESP_LOGW(TAG, "the buffer is full: the oldest reading is lost");
    }
    waiting[(oldest + n_waiting) % BUFFER_MAX] = (reading_t){
        .ts_ms = (int64_t)now.tv_sec * 1000 + now.tv_usec / 1000,
        .seq = ++seq,
        .temperature = read_temperature(),
    };
    n_waiting++;
}

/* Sends the oldest reading, or again the one that nobody acknowledged. It is the same to the byte, and has its own
 * time: if both arrive, Bellwire knows the second for a repetition. */
static void send_oldest(esp_mqtt_client_handle_t client)
{
    if (!holding) {
        if (n_waiting == 0) {
            return;
        }
        sending = waiting[oldest];
        oldest = (oldest + 1) % BUFFER_MAX;
        n_waiting--;
        holding = true;
        message = -1;
    }
    bool on_its_way = message >= 0 && xTaskGetTickCount() - sent_at < pdMS_TO_TICKS(RESEND_MS);
    if (!online || on_its_way) {
        return;
    }
    char payload[96];
    snprintf(payload, sizeof payload, "{\"ts\":%" PRId64 ",\"seq\":%" PRIu32 ",\"temperature\":%.2f}", sending.ts_ms,
             sending.seq, (double)sending.temperature);
    message = esp_mqtt_client_enqueue(client, TELEMETRY, payload, 0, 1, 0, true);
    sent_at = xTaskGetTickCount();
}

/* A command is {"interval_s": SECONDS}; for more than this, use cJSON. It may come twice, under the same id, which
 * does no harm here. */
static void on_command(esp_mqtt_event_handle_t event)
{
    if (event->data_len != event->total_data_len || event->property == NULL || event->property->response_topic == NULL) {
        return; /* larger than our buffer, or nobody waits for an answer */
    }
    char text[128], topic[192], answer[64] = "{\"error\":\"a command is {interval_s: SECONDS}\"}";
    unsigned seconds = 0;
    snprintf(text, sizeof text, "%.*s", event->data_len, event->data);
    snprintf(topic, sizeof topic, "%.*s", event->property->response_topic_len, event->property->response_topic);
    if (sscanf(text, " { \"interval_s\" : %u }", &seconds) == 1 && seconds > 0 && seconds <= 3600) {
        interval_s = (int)seconds;
        snprintf(answer, sizeof answer, "{\"interval_s\":%u}", seconds);
    }
    ESP_LOGI(TAG, "command %s: %s", text, answer);
    esp_mqtt_client_enqueue(event->client, topic, answer, 0, 1, 0, true);
}

/* Runs in esp-mqtt's task: it tells ours what happened, and waits for nothing. */
static void on_mqtt(void *arg, esp_event_base_t base, int32_t id, void *data)
{
    (void)arg;
    (void)base;
    esp_mqtt_event_handle_t event = data;
    switch ((esp_mqtt_event_id_t)id) {
    case MQTT_EVENT_CONNECTED:
        ESP_LOGI(TAG, "connected");
        esp_mqtt_client_subscribe(event->client, COMMANDS, 1);
        online = true;
        break;
    case MQTT_EVENT_DISCONNECTED:
        ESP_LOGW(TAG, "no connection");
        online = false;
        break;
    case MQTT_EVENT_PUBLISHED: /* a PUBACK: now it is on Bellwire's disk */
        xQueueSend(acknowledged, &event->msg_id, 0);
        break;
    case MQTT_EVENT_DATA:
        on_command(event);
        break;
    case MQTT_EVENT_ERROR:
        if (event->error_handle->error_type == MQTT_ERROR_TYPE_CONNECTION_REFUSED) {
            ESP_LOGE(TAG, "refused: %d", (int)event->error_handle->connect_return_code);
        }
        break;
    default:
        break;
    }
}

static esp_mqtt_client_handle_t start_mqtt(void)
{
    const esp_mqtt_client_config_t config = {
        .broker.address.uri = CONFIG_BELLWIRE_URI,
        .broker.verification.crt_bundle_attach = esp_crt_bundle_attach, /* or `.certificate`: an authority of your own */
        .credentials.client_id = CONFIG_BELLWIRE_DEVICE,
        .credentials.username = CONFIG_BELLWIRE_DEVICE,
        .credentials.authentication.password = CONFIG_BELLWIRE_TOKEN,
        .session.protocol_ver = MQTT_PROTOCOL_V_5,
        .session.disable_clean_session = true,
        .session.keepalive = 30,
        /* esp-mqtt waits as long each time; so each device waits another time. */
        .network.reconnect_timeout_ms = 5000 + (int)(esp_random() % 10000),
    };
    /* The session, and with it the commands that wait for us, lasts for a day without a connection. */
    const esp_mqtt5_connection_property_config_t session = { .session_expiry_interval = 86400 };

    esp_mqtt_client_handle_t client = esp_mqtt_client_init(&config);
    ESP_ERROR_CHECK(client == NULL ? ESP_FAIL : ESP_OK);
    ESP_ERROR_CHECK(esp_mqtt5_client_set_connect_property(client, &session));
    ESP_ERROR_CHECK(esp_mqtt_client_register_event(client, MQTT_EVENT_ANY, on_mqtt, NULL));
    ESP_ERROR_CHECK(esp_mqtt_client_start(client));
    return client;
}

/* Readings have a time of their own, so there are none before we know it. */
static void wait_for_time(void)
{
    esp_sntp_config_t config = ESP_NETIF_SNTP_DEFAULT_CONFIG(CONFIG_BELLWIRE_SNTP_SERVER);
    ESP_ERROR_CHECK(esp_netif_sntp_init(&config));
    while (esp_netif_sntp_sync_wait(pdMS_TO_TICKS(10000)) != ESP_OK) {
        ESP_LOGW(TAG, "no time yet");
    }
}

void app_main(void)
{
    ESP_ERROR_CHECK(nvs_flash_init());
    ESP_ERROR_CHECK(esp_netif_init());
    ESP_ERROR_CHECK(esp_event_loop_create_default());
    ESP_ERROR_CHECK(example_connect());
    wait_for_time();

    acknowledged = xQueueCreate(16, sizeof(int));
    esp_mqtt_client_handle_t client = start_mqtt();
    TickType_t measured_at = xTaskGetTickCount();
    measure();
    for (;;) {
        send_oldest(client);
        int id;
        if (xQueueReceive(acknowledged, &id, pdMS_TO_TICKS(200)) == pdTRUE && holding && id == message) {
            holding = false;
        }
        TickType_t interval = pdMS_TO_TICKS((TickType_t)interval_s * 1000);
        if (xTaskGetTickCount() - measured_at >= interval) {
            measured_at += interval;
            measure();
        }
    }
}
