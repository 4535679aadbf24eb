/* FreeRTOS for a test: time. */
#pragma once
#include "freertos/FreeRTOS.h"

TickType_t xTaskGetTickCount(void);
