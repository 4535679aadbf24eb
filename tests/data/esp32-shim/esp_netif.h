/* ESP-IDF for a test: the network is there. */
#pragma once
#include "esp_err.h"

esp_err_t esp_netif_init(void);
