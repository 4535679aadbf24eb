//! Families of devices, one case or more for each.

use bellwire_model::Presence;

use crate::decode;

fn check(mappings: &str, topic: &str, payload: impl AsRef<[u8]>, expected: &[&str]) {
    let (readings, decoded) = decode(mappings, topic, payload.as_ref());
    assert_eq!(decoded.fault, None, "{topic}");
    assert_eq!(readings, expected, "{topic}");
}

fn check_presence(mappings: &str, topic: &str, payload: &str, expected: Presence) {
    let (readings, decoded) = decode(mappings, topic, payload.as_bytes());
    let presence: Vec<_> = decoded.presence.iter().map(|(_, presence)| *presence).collect();
    assert_eq!((readings.len(), presence, decoded.fault), (0, vec![expected], None));
}

const ZIGBEE2MQTT: &str = "[[mapping]]\npreset = 'zigbee2mqtt'";

/// <https://www.zigbee2mqtt.io/guide/usage/mqtt_topics_and_messages.html>
#[test]
fn zigbee2mqtt() {
    check(
        ZIGBEE2MQTT,
        "zigbee2mqtt/living room",
        "{\n\"temperature\": 27.34,\n\"humidity\": 44.72\n}",
        &["living room temperature=27.34", "living room humidity=44.72"],
    );
    check(
        ZIGBEE2MQTT,
        "zigbee2mqtt/bulb",
        r#"{"state": "ON", "brightness": 215, "color_temp": 325, "last_seen": 1767225000000}"#,
        &[
            "bulb state=\"ON\"@1767225000",
            "bulb brightness=215@1767225000",
            "bulb color_temp=325@1767225000",
        ],
    );
    check(ZIGBEE2MQTT, "zigbee2mqtt/pir", r#"{"occupancy": true}"#, &["pir occupancy=1"]);
    let topic = "zigbee2mqtt/pir/availability";
    check_presence(ZIGBEE2MQTT, topic, r#"{"state":"online"}"#, Presence::Online);
    check_presence(ZIGBEE2MQTT, topic, "offline", Presence::Offline);
}

/// <https://github.com/arendst/Tasmota/issues/1621>: a Sonoff POW; and a switch's `STATE`, as its user logged
/// it: <https://pastebin.com/4izDrY6W>.
#[test]
fn tasmota() {
    let power = r#"{"Time":"2018-01-17T18:59:50","ENERGY":{"Total":1.956,"Yesterday":0.054,"Today":0.049,"Period":0,"Power":9,"Factor":0.43,"Voltage":231,"Current":0.089}}"#;
    let expected = [
        "SonoffPOW ENERGY.Total=1.956",
        "SonoffPOW ENERGY.Yesterday=0.054",
        "SonoffPOW ENERGY.Today=0.049",
        "SonoffPOW ENERGY.Period=0",
        "SonoffPOW ENERGY.Power=9",
        "SonoffPOW ENERGY.Factor=0.43",
        "SonoffPOW ENERGY.Voltage=231",
        "SonoffPOW ENERGY.Current=0.089",
    ];
    let preset = "[[mapping]]\npreset = 'tasmota'";
    check(preset, "tele/SonoffPOW/SENSOR", power, &expected);
    let in_berlin = format!("{preset}\nutc_offset = '+01:00'");
    let placed = expected.map(|line| format!("{line}@1516211990"));
    let placed: Vec<_> = placed.iter().map(String::as_str).collect();
    check(&in_berlin, "tele/SonoffPOW/SENSOR", power, &placed);
    check(
        preset,
        "tele/tasmota_9CF9D1/STATE",
        r#"{"Time":"2024-02-24T22:20:38","Uptime":"0T00:10:11","UptimeSec":611,"Heap":24,"SleepMode":"Dynamic","Sleep":50,"LoadAvg":19,"MqttCount":1,"POWER":"OFF","Wifi":{"AP":1,"SSId":"ESP-Network","BSSId":"E6:8D:8C:4B:BE:F7","Channel":3,"Mode":"11n","RSSI":44,"Signal":-78,"LinkCount":1,"Downtime":"0T00:00:05"}}"#,
        &[
            "tasmota_9CF9D1 UptimeSec=611",
            "tasmota_9CF9D1 Heap=24",
            "tasmota_9CF9D1 SleepMode=\"Dynamic\"",
            "tasmota_9CF9D1 Sleep=50",
            "tasmota_9CF9D1 LoadAvg=19",
            "tasmota_9CF9D1 MqttCount=1",
            "tasmota_9CF9D1 POWER=\"OFF\"",
            "tasmota_9CF9D1 Wifi.AP=1",
            "tasmota_9CF9D1 Wifi.Channel=3",
            "tasmota_9CF9D1 Wifi.RSSI=44",
            "tasmota_9CF9D1 Wifi.Signal=-78",
            "tasmota_9CF9D1 Wifi.LinkCount=1",
        ],
    );
    check_presence(preset, "tele/plug/LWT", "Online", Presence::Online);
}

const SHELLY: &str = "[[mapping]]\npreset = 'shelly'";

/// <https://shelly-api-docs.shelly.cloud/gen1/#mqtt-support>
#[test]
fn shelly_of_the_first_generation() {
    let topic = "shellies/shellyplug-s-C18B12/relay/0";
    check(SHELLY, topic, "on", &["shellyplug-s-C18B12 relay.0=\"on\""]);
    let topic = "shellies/shellyplug-s-C18B12/relay/0/power";
    check(SHELLY, topic, "12.50", &["shellyplug-s-C18B12 relay.0.power=12.5"]);
    let topic = "shellies/shellyht-E3A1B2/sensor/temperature";
    check(SHELLY, topic, "23.5", &["shellyht-E3A1B2 temperature=23.5"]);
    check_presence(SHELLY, "shellies/shellyplug-s-C18B12/online", "false", Presence::Offline);
}

/// <https://shelly-api-docs.shelly.cloud/gen2/General/Notifications>
#[test]
fn shelly_of_the_second_generation() {
    check(
        SHELLY,
        "shellypro4pm-f008d1d8b8b8/events/rpc",
        r#"{"src":"shellypro4pm-f008d1d8b8b8","dst":"shellypro4pm-f008d1d8b8b8/events","method":"NotifyStatus","params":{"ts":1631186545.04,"switch:0":{"id":0,"output":true,"source":"button"}}}"#,
        &[
            "shellypro4pm-f008d1d8b8b8 switch:0.id=0@1631186545.04",
            "shellypro4pm-f008d1d8b8b8 switch:0.output=1@1631186545.04",
            "shellypro4pm-f008d1d8b8b8 switch:0.source=\"button\"@1631186545.04",
        ],
    );
    check(
        SHELLY,
        "shellyplus1pm-a8032ab12345/status/switch:0",
        r#"{"id":0,"source":"init","output":false,"apower":0.0,"aenergy":{"total":11.679,"by_minute":[0.0,0.5],"minute_ts":1654511972},"temperature":{"tC":53.3,"tF":127.9}}"#,
        &[
            "shellyplus1pm-a8032ab12345 switch:0.id=0",
            "shellyplus1pm-a8032ab12345 switch:0.source=\"init\"",
            "shellyplus1pm-a8032ab12345 switch:0.output=0",
            "shellyplus1pm-a8032ab12345 switch:0.apower=0",
            "shellyplus1pm-a8032ab12345 switch:0.aenergy.total=11.679",
            "shellyplus1pm-a8032ab12345 switch:0.aenergy.by_minute.0=0",
            "shellyplus1pm-a8032ab12345 switch:0.aenergy.by_minute.1=0.5",
            "shellyplus1pm-a8032ab12345 switch:0.aenergy.minute_ts=1654511972",
            "shellyplus1pm-a8032ab12345 switch:0.temperature.tC=53.3",
            "shellyplus1pm-a8032ab12345 switch:0.temperature.tF=127.9",
        ],
    );
    check_presence(SHELLY, "shellyplus1pm-a8032ab12345/online", "true", Presence::Online);
}

/// <https://esphome.io/components/mqtt.html>
#[test]
fn esphome() {
    let preset = "[[mapping]]\npreset = 'esphome'";
    let topic = "livingroom/sensor/livingroom_temperature/state";
    check(preset, topic, "21.3", &["livingroom livingroom_temperature=21.3"]);
    check(preset, topic, "nan", &[]);
    let topic = "livingroom/binary_sensor/window/state";
    check(preset, topic, "ON", &["livingroom window=\"ON\""]);
    check_presence(preset, "livingroom/status", "offline", Presence::Offline);
}

/// A device behind a `LoRaWAN` network of `ChirpStack` 3, as its user showed it:
/// <https://pastebin.com/UqU7QcjT>
#[test]
fn chirpstack() {
    check(
        "[[mapping]]\ntopic = 'application/+/device/{device}/rx'\nformat = 'json'\n\
         root = 'object'\nseq_key = 'fCnt'",
        "application/1/device/000425191801d630/rx",
        r#"{"applicationID":"1","applicationName":"ThingNZ-Demo-App","deviceName":"Andrew","devEUI":"000425191801d630","rxInfo":[{"gatewayID":"60c5a8fffe74644f","name":"gw_6phr_por_nz","time":"2019-03-23T11:54:38.781784Z","rssi":-67,"loRaSNR":8.8,"location":{"latitude":-41.10576,"longitude":174.91734,"altitude":2}}],"txInfo":{"frequency":918200000,"dr":5},"adr":true,"fCnt":20081,"fPort":1,"data":"AWcA4Q==","object":{"temperatureSensor":{"1":22.5}}}"#,
        &["000425191801d630 temperatureSensor.1=22.5"],
    );
}

/// A device behind The Things Network, as its user showed it: <https://pastebin.com/QxHQePhu>
#[test]
fn the_things_network() {
    check(
        "[[mapping]]\ntopic = '+/devices/{device}/up'\nformat = 'json'\n\
         root = 'payload_fields'\ntime_key = 'metadata.time'\nseq_key = 'counter'",
        "my_test_application_01/devices/my_test_device_01/up",
        r#"{"app_id":"my_test_application_01","dev_id":"my_test_device_01","hardware_serial":"A8610A32334B8009","port":2,"counter":8,"confirmed":true,"payload_raw":"CA==","payload_fields":{"testValue":8},"metadata":{"time":"2019-06-14T13:14:40.226618748Z","frequency":868.5,"modulation":"LORA","data_rate":"SF12BW125","airtime":1155072000,"coding_rate":"4/5","gateways":[{"gtw_id":"eui-70db980a39780000","timestamp":2184122548,"time":"","channel":7,"rssi":-117,"snr":-11,"rf_chain":0,"latitude":50.93395,"longitude":6.98837,"altitude":106}]}}"#,
        &["my_test_device_01 testValue=8@1560518080.226618"],
    );
}

/// The Things Stack, which came after it:
/// <https://www.thethingsindustries.com/docs/integrations/data-formats/> has the fields, the values are of
/// <https://apis.io/examples/the-things-network/the-things-stack-uplink-message-example/>.
#[test]
fn the_things_stack() {
    check(
        "[[mapping]]\ntopic = 'v3/+/devices/{device}/up'\nformat = 'json'\n\
         root = 'uplink_message.decoded_payload'\ntime_key = 'received_at'\n\
         seq_key = 'uplink_message.f_cnt'",
        "v3/weather-stations@ttn/devices/dev-eu868-01/up",
        r#"{"end_device_ids":{"device_id":"dev-eu868-01","application_ids":{"application_id":"weather-stations"},"dev_eui":"70B3D57ED005B89A","join_eui":"0000000000000001","dev_addr":"260BABCD"},"correlation_ids":["as:up:01HX6YGQ7E0V83YRZ7K4S5J4ZN","gs:uplink:01HX6YGQ7AS3VTM5W5W36YV1F1"],"received_at":"2025-05-25T13:42:11.412Z","uplink_message":{"session_key_id":"AWNbm/4zfqx0jZ5q1NlBmw==","f_port":2,"f_cnt":1834,"frm_payload":"ASsBKAAA","decoded_payload":{"temperature_c":29.9,"humidity_pct":29.6,"battery_v":3.62},"rx_metadata":[{"gateway_ids":{"gateway_id":"eui-aa555a0000000101","eui":"AA555A0000000101"},"time":"2025-05-25T13:42:11.392Z","timestamp":3895211423,"rssi":-68,"channel_rssi":-68,"snr":9.2,"location":{"latitude":47.0,"longitude":8.0,"altitude":430,"source":"SOURCE_REGISTRY"}}],"settings":{"data_rate":{"lora":{"bandwidth":125000,"spreading_factor":7}},"coding_rate":"4/5","frequency":"868100000","timestamp":3895211423},"received_at":"2025-05-25T13:42:11.412Z","consumed_airtime":"0.061696s","network_ids":{"net_id":"000013","tenant_id":"ttn","cluster_id":"eu1"}}}"#,
        &[
            "dev-eu868-01 temperature_c=29.9@1748180531.412",
            "dev-eu868-01 humidity_pct=29.6@1748180531.412",
            "dev-eu868-01 battery_v=3.62@1748180531.412",
        ],
    );
}

/// A gateway for Bluetooth beacons, as it logged it: <https://pastebin.com/RLveFLbX>
#[test]
fn openmqttgateway() {
    check(
        "[[mapping]]\ntopic = 'home/+/BTtoMQTT/+'\nformat = 'json'\ndevice_key = 'id'",
        "home/OpenMQTTGateway_ESP32_BLE_House/BTtoMQTT/59D6880247B8",
        r#"{"id":"59:D6:88:02:47:B8","name":"[LG] webOS TV OLED65C7V","rssi":-63,"distance":1.602966}"#,
        &[
            "59:D6:88:02:47:B8 name=\"[LG] webOS TV OLED65C7V\"",
            "59:D6:88:02:47:B8 rssi=-63",
            "59:D6:88:02:47:B8 distance=1.602966",
        ],
    );
}

/// <https://docs.influxdata.com/influxdb/v2/reference/sample-data/>: air sensors; and what the
/// reference of the line protocol shows.
#[test]
fn line_protocol() {
    let by_sensor =
        "[[mapping]]\ntopic = 'telegraf/#'\nformat = 'influx'\ndevice_tag = 'sensor_id'";
    check(
        by_sensor,
        "telegraf/air",
        "airSensors,sensor_id=TLM0201 temperature=73.97038159354763,humidity=35.23103248356096,co=0.48445310567793615 1630424257000000000\n\
         airSensors,sensor_id=TLM0202 temperature=75.30007505999716,ok=t,n=5i 1630424257000000000\n",
        &[
            "TLM0201 airSensors.temperature=73.97038159354763@1630424257",
            "TLM0201 airSensors.humidity=35.23103248356096@1630424257",
            "TLM0201 airSensors.co=0.48445310567793615@1630424257",
            "TLM0202 airSensors.temperature=75.30007505999716@1630424257",
            "TLM0202 airSensors.ok=1@1630424257",
            "TLM0202 airSensors.n=5@1630424257",
        ],
    );
    let by_host = "[[mapping]]\ntopic = 'telegraf/{device}/cpu'\nformat = 'influx'\n\
                   name_tags = ['cpu']\nprecision = 's'";
    check(
        by_host,
        "telegraf/web1/cpu",
        "cpu,cpu=cpu0,host=web1 usage_idle=99.1 1767225590\r\n# a remark\n\n\
         cpu,cpu=cpu1,host=web1 usage_idle=98.2,note=\"a, \\\"b\\\"\" 1767225590",
        &[
            "web1 cpu.cpu0.usage_idle=99.1@1767225590",
            "web1 cpu.cpu1.usage_idle=98.2@1767225590",
            "web1 cpu.cpu1.note=\"a, \\\"b\\\"\"@1767225590",
        ],
    );
    let fields = "[[mapping]]\ntopic = 'l/{device}'\nformat = 'influx'\nnames = 'field'";
    check(fields, "l/a", r"my\ measurement,t\,ag=a\=b my\ field=1u", &["a my field=1"]);
}

/// A gateway's batches, as many send them: the array is under a key, and holds offsets.
#[test]
fn an_array_under_a_key() {
    let mapping = "[[mapping]]\ntopic = 'gw/+'\nformat = 'json'\neach = 'data.samples'\n\
                   time_key = 't'\nbase_time_key = 'data.bt'\ndevice_key = 'id'\n\
                   omit = ['firmware']";
    check(
        mapping,
        "gw/x",
        r#"{"data": {"samples": [{"v": 1, "t": 0}, {"v": 2, "t": 0.5, "id": "b"}, {"v": {"w": 3}},
            {"v": 4, "t": 1767225001}], "bt": 1767225000, "rssi": -60}, "id": "a",
            "firmware": [1, 2]}"#,
        &[
            "a data.rssi=-60@1767225000",
            "a v=1@1767225000",
            "b v=2@1767225000.5",
            "a v.w=3@1767225000",
            "a v=4@1767225001",
        ],
    );
}

const SENML: &str = "[[mapping]]\ntopic = 'senml/#'\nformat = 'senml'";
const SENML_CBOR: &str = "[[mapping]]\ntopic = 'senml/#'\nformat = 'senml_cbor'";

/// RFC 8428, sections 5.1.1 to 5.1.3.
#[test]
fn senml_in_json() {
    check(
        SENML,
        "senml/x",
        r#"[{"n":"urn:dev:ow:10e2073a01080063","u":"Cel","v":23.1}]"#,
        &["urn:dev:ow:10e2073a01080063 value=23.1 Cel"],
    );
    check(
        SENML,
        "senml/x",
        r#"[{"bn":"urn:dev:ow:10e2073a01080063:","n":"voltage","u":"V","v":120.1},{"n":"current","u":"A","v":1.2}]"#,
        &[
            "urn:dev:ow:10e2073a01080063 voltage=120.1 V",
            "urn:dev:ow:10e2073a01080063 current=1.2 A",
        ],
    );
    check(
        SENML,
        "senml/x",
        r#"[{"bn":"urn:dev:ow:10e2073a0108006:","bt":1.276020076001e+09,"bu":"A","bver":5,"n":"voltage","u":"V","v":120.1},{"n":"current","t":-5,"v":1.2},{"n":"current","t":-4,"v":1.3}]"#,
        &[
            "urn:dev:ow:10e2073a0108006 voltage=120.1 V@1276020076.001",
            "urn:dev:ow:10e2073a0108006 current=1.2 A@1276020071.001",
            "urn:dev:ow:10e2073a0108006 current=1.3 A@1276020072.001",
        ],
    );
    check(
        SENML,
        "senml/x",
        r#"[{"bn":"urn:dev:mac:0024befffe804ff1/","n":"open","vb":true,"t":-10},{"n":"label","vs":"Machine Room"},{"n":"energy","s":27156.08}]"#,
        &[
            "urn:dev:mac:0024befffe804ff1 open=1@1767225590",
            "urn:dev:mac:0024befffe804ff1 label=\"Machine Room\"",
            "urn:dev:mac:0024befffe804ff1 energy.sum=27156.08",
        ],
    );
    let in_topic = "[[mapping]]\ntopic = 'senml/{device}'\nformat = 'senml'";
    let payload = r#"[{"bn":"/3303/0/","bv":20,"n":"5700","v":1.5}]"#;
    check(in_topic, "senml/d", payload, &["d 3303.0.5700=21.5"]);
}

/// RFC 8428, section 6.
#[test]
fn senml_in_cbor() {
    let payload =
        hex("87a721781b75726e3a6465763a6f773a3130653230373361303130383030363a22fb41d303a15b001062\
         236141200500 67766f6c74616765016156 02fb405e066666666666\
         a3006763757272656e74062402fb3ff3333333333333\
         a3006763757272656e74062302fb3ff4cccccccccccd\
         a3006763757272656e74062202fb3ff6666666666666\
         a3006763757272656e74062102f93e00\
         a3006763757272656e74062002fb3ff999999999999a\
         a3006763757272656e74060002fb3ffb333333333333");
    let device = "urn:dev:ow:10e2073a0108006";
    let expected = [
        format!("{device} voltage=120.1 V@1276020076.001"),
        format!("{device} current=1.2 A@1276020071.001"),
        format!("{device} current=1.3 A@1276020072.001"),
        format!("{device} current=1.4 A@1276020073.001"),
        format!("{device} current=1.5 A@1276020074.001"),
        format!("{device} current=1.6 A@1276020075.001"),
        format!("{device} current=1.7 A@1276020076.001"),
    ];
    let expected: Vec<_> = expected.iter().map(String::as_str).collect();
    check(SENML_CBOR, "senml/x", payload, &expected);
}

/// RFC 8949, appendix A, has the values.
#[test]
fn objects_in_cbor() {
    let mapping =
        "[[mapping]]\ntopic = 'c/{device}'\nformat = 'cbor'\ntime_key = 'ts'\narrays = 'index'";
    // {"a": 1.5 (half), "b": {"c": -10, 1: true}, "d": (_ "strea", "ming"), "e": [1], "f": null}
    let payload = hex("a6 6161 f93e00 6162 a2 6163 29 01 f5 6164 7f 657374726561 646d696e67 ff \
         6165 8101 6166 f6 627473 c1 1a69550580");
    let at = "@1767179648";
    let expected =
        ["a=1.5", "b.c=-10", "b.1=1", "d=\"streaming\"", "e.0=1"].map(|it| format!("d {it}{at}"));
    let expected: Vec<_> = expected.iter().map(String::as_str).collect();
    check(mapping, "c/d", payload, &expected);
}

pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let digit = |byte: u8| char::from(byte).to_digit(16).expect("a digit") as u8;
    digits.chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}
