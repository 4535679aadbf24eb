/* FreeRTOS for a test: ticks of 10 ms, as ESP-IDF has them. */
#pragma once
#include <stdint.h>

typedef uint32_t TickType_t;
typedef int BaseType_t;
typedef unsigned int UBaseType_t;

#define configTICK_RATE_HZ 100
#define pdTRUE ((BaseType_t)1)
#define pdFALSE ((BaseType_t)0)
#define pdMS_TO_TICKS(ms) ((TickType_t)((TickType_t)(ms) * (TickType_t)configTICK_RATE_HZ / (TickType_t)1000))
