/* ESP-IDF for a test: what `idf.py menuconfig` would have set, unless the compiler is told. */
#pragma once

#ifndef CONFIG_BELLWIRE_URI
#define CONFIG_BELLWIRE_URI "mqtt://127.0.0.1:1883"
#endif
#ifndef CONFIG_BELLWIRE_DEVICE
#define CONFIG_BELLWIRE_DEVICE "esp32-1"
#endif
#ifndef CONFIG_BELLWIRE_TOKEN
#define CONFIG_BELLWIRE_TOKEN ""
#endif
#ifndef CONFIG_BELLWIRE_INTERVAL_S
#define CONFIG_BELLWIRE_INTERVAL_S 10
#endif
#ifndef CONFIG_BELLWIRE_SNTP_SERVER
#define CONFIG_BELLWIRE_SNTP_SERVER "pool.ntp.org"
#endif
#define CONFIG_MQTT_PROTOCOL_5 1
