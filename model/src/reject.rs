//! Why we could not read a payload or a part of it: stable words, used in tables, metrics and API.

use crate::words::words;

words! {
    /// Why a payload, or a part of it, was quarantined.
    RejectReason {
        /// The topic belongs to telemetry but names no valid device or metric.
        BadTopic = "bad_topic",
        /// Neither the topic nor the payload says of which device it is, or what it says is no name.
        NoDevice = "no_device",
        /// A payload that must be text is not UTF-8.
        BadUtf8 = "bad_utf8",
        /// The payload is not JSON, or ends too early.
        BadJson = "bad_json",
        /// The payload is not CBOR, or ends too early.
        BadCbor = "bad_cbor",
        /// A line is not of InfluxDB's line protocol.
        BadLine = "bad_line",
        /// The payload is no list of SenML records, or asks for what we do not understand.
        BadSenml = "bad_senml",
        /// The payload is not of Sparkplug B's protocol buffers.
        BadSparkplug = "bad_sparkplug",
        /// An alias, or a metric without one, that no birth has told of.
        UnknownAlias = "unknown_alias",
        /// The payload is JSON or CBOR, but neither an object nor an array of objects.
        NotAnObject = "not_an_object",
        /// The payload, or one object of it, has no reading.
        NoReadings = "no_readings",
        /// A key cannot be a metric's name.
        BadMetric = "bad_metric",
        /// One key stands twice in one object.
        DuplicateKey = "duplicate_key",
        /// A value is of a kind that is no reading (an array, say).
        UnsupportedValue = "unsupported_value",
        /// A number is not finite.
        NotFinite = "not_finite",
        /// A text is too long.
        TextTooLong = "text_too_long",
        /// `ts` cannot be read as a time.
        BadTimestamp = "bad_timestamp",
        /// `ts` lies further ahead of receive time than allowed.
        FutureTimestamp = "future_timestamp",
        /// `ts` lies further behind receive time than allowed.
        PastTimestamp = "past_timestamp",
        /// `seq` is no whole number from 0 to 2⁶³−1.
        BadSeq = "bad_seq",
        /// Objects are nested deeper than allowed.
        TooDeep = "too_deep",
        /// The payload has more readings than allowed.
        TooManyReadings = "too_many_readings",
        /// It answers no command that waits for an answer.
        UnknownCommand = "unknown_command",
        /// The system knows as many devices or metrics as it may.
        TooManyNames = "too_many_names",
        /// The database refused a reading of it; nothing of it is stored.
        RefusedByDatabase = "refused_by_database",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_distinct_and_read_back() {
        for &reason in RejectReason::ALL {
            assert_eq!(RejectReason::from_label(reason.label()), Some(reason));
        }
    }
}
