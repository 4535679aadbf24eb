/* ESP-IDF for a test: error codes. */
#pragma once
#include <stdio.h>
#include <stdlib.h>

typedef int esp_err_t;

#define ESP_OK 0
#define ESP_FAIL (-1)
#define ESP_ERR_INVALID_ARG 0x102

#define ESP_ERROR_CHECK(x)                                                                                             \
    do {                                                                                                               \
        esp_err_t failed_with = (x);                                                                                   \
        if (failed_with != ESP_OK) {                                                                                   \
            fprintf(stderr, "%s:%d: %s gives %d\n", __FILE__, __LINE__, #x, failed_with);                              \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)
