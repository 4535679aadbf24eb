/* ESP-IDF for a test: what is around the program. Network, flash and time are there; a queue is a ring under a lock. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "esp_event.h"
#include "esp_netif.h"
#include "esp_netif_sntp.h"
#include "esp_random.h"
#include "freertos/queue.h"
#include "freertos/task.h"
#include "nvs_flash.h"
#include "protocol_examples_common.h"

void app_main(void);

int main(void)
{
    app_main();
    return 0;
}

esp_err_t nvs_flash_init(void)
{
    return ESP_OK;
}

esp_err_t esp_netif_init(void)
{
    return ESP_OK;
}

esp_err_t esp_event_loop_create_default(void)
{
    return ESP_OK;
}

esp_err_t example_connect(void)
{
    return ESP_OK;
}

esp_err_t esp_netif_sntp_init(const esp_sntp_config_t *config)
{
    return config->num_of_servers > 0 && config->servers[0] != NULL ? ESP_OK : ESP_ERR_INVALID_ARG;
}

esp_err_t esp_netif_sntp_sync_wait(TickType_t tout)
{
    (void)tout;
    return ESP_OK;
}

uint32_t esp_random(void)
{
    uint32_t random = 0;
    FILE *source = fopen("/dev/urandom", "rb");
    if (source == NULL || fread(&random, sizeof random, 1, source) != 1) {
        abort();
    }
    fclose(source);
    return random;
}

TickType_t xTaskGetTickCount(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (TickType_t)now.tv_sec * configTICK_RATE_HZ + (TickType_t)(now.tv_nsec / (1000000000 / configTICK_RATE_HZ));
}

struct QueueDefinition {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t length, item, first, n;
    char *items;
};

QueueHandle_t xQueueCreate(UBaseType_t uxQueueLength, UBaseType_t uxItemSize)
{
    QueueHandle_t queue = calloc(1, sizeof *queue);
    pthread_mutex_init(&queue->lock, NULL);
    pthread_cond_init(&queue->changed, NULL);
    queue->length = uxQueueLength;
    queue->item = uxItemSize;
    queue->items = calloc(uxQueueLength, uxItemSize);
    return queue;
}

/* Waits until `queue` changes, or `ticks` after `since`; false if that is over. The lock is held. */
static int changes(QueueHandle_t queue, struct timespec since, TickType_t ticks)
{
    struct timespec until = since;
    until.tv_sec += ticks / configTICK_RATE_HZ;
    until.tv_nsec += (long)(ticks % configTICK_RATE_HZ) * (1000000000 / configTICK_RATE_HZ);
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    return pthread_cond_timedwait(&queue->changed, &queue->lock, &until) == 0;
}

BaseType_t xQueueSend(QueueHandle_t xQueue, const void *pvItemToQueue, TickType_t xTicksToWait)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    pthread_mutex_lock(&xQueue->lock);
    while (xQueue->n == xQueue->length && changes(xQueue, now, xTicksToWait)) {
    }
    BaseType_t sent = xQueue->n < xQueue->length ? pdTRUE : pdFALSE;
    if (sent) {
        size_t place = (xQueue->first + xQueue->n++) % xQueue->length;
        memcpy(xQueue->items + place * xQueue->item, pvItemToQueue, xQueue->item);
        pthread_cond_broadcast(&xQueue->changed);
    }
    pthread_mutex_unlock(&xQueue->lock);
    return sent;
}

BaseType_t xQueueReceive(QueueHandle_t xQueue, void *pvBuffer, TickType_t xTicksToWait)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    pthread_mutex_lock(&xQueue->lock);
    while (xQueue->n == 0 && changes(xQueue, now, xTicksToWait)) {
    }
    BaseType_t received = xQueue->n > 0 ? pdTRUE : pdFALSE;
    if (received) {
        memcpy(pvBuffer, xQueue->items + xQueue->first * xQueue->item, xQueue->item);
        xQueue->first = (xQueue->first + 1) % xQueue->length;
        xQueue->n--;
        pthread_cond_broadcast(&xQueue->changed);
    }
    pthread_mutex_unlock(&xQueue->lock);
    return received;
}
