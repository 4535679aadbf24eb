//! CONNECT: who comes, what it asks for, and how a refusal is put in either version.

use std::fmt;

use bellwire_model::{ClientId, QoS, check_topic};
use mqtt_protocol_core::mqtt::packet::{MqttBinary, Property, Qos, v3_1_1, v5_0};
use mqtt_protocol_core::mqtt::result_code::MqttError;

use crate::access::Denied;
use crate::close::{Close, CloseKind};
use crate::codec::{Version, properties};

/// What a client asks for when it connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Connect {
    /// The protocol it speaks.
    pub(crate) version: Version,
    /// Its name; `None` asks us to choose one.
    pub(crate) client_id: Option<ClientId>,
    /// It will send something at least this often, in seconds; 0 promises nothing.
    pub(crate) keep_alive_s: u16,
    /// It wants no session that was there before. [MQTT-3.1.2-4]
    pub(crate) start: Start,
    /// How many QoS 1 and 2 messages it takes before it acknowledges one; at least 1.
    pub(crate) receive_maximum: u16,
    /// The largest packet it takes, in bytes.
    pub(crate) packet_bytes_max: usize,
    /// The greatest topic alias it takes; 0 is none.
    pub(crate) topic_alias_max: u16,
    /// Whether it wants reasons in words where it can do without.
    pub(crate) reasons: Reasons,
    /// How long its session shall outlive the connection, in seconds; `u32::MAX` is for ever. In
    /// MQTT 3.1.1 for ever, unless it asks for a clean session.
    pub(crate) session_expiry_s: u32,
    /// What to publish when it is lost.
    pub(crate) will: Option<Will>,
    /// Who it says it is.
    pub(crate) user: Option<Box<str>>,
    /// What proves that; never logged.
    pub(crate) password: Option<Password>,
}

/// Whether a client wants to go on with an earlier session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// It does, if there is one.
    Resume,
    /// It does not.
    Clean,
}

/// Whether a client wants reasons in words: MQTT 5's *Request Problem Information*.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reasons {
    /// Wherever they may be.
    Everywhere,
    /// Only in CONNACK and DISCONNECT. [MQTT-3.1.2-29]
    Fatal,
}

/// A password, which no log shows.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Password(pub(crate) Box<[u8]>);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What to publish when a client is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Will {
    /// Where; a valid topic name.
    pub(crate) topic: Box<str>,
    /// What.
    pub(crate) payload: Box<[u8]>,
    /// The encoded properties for MQTT 5 subscribers, without their length.
    pub(crate) properties: Box<[u8]>,
    /// Its quality of service.
    pub(crate) qos: QoS,
    /// Whether it is retained.
    pub(crate) retain: bool,
    /// How long it is not to be sent, in seconds.
    pub(crate) delay_s: u32,
    /// How long it may be sent then, in seconds.
    pub(crate) expiry_s: Option<u32>,
}

/// Why a client may not connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It speaks neither MQTT 3.1.1 nor 5.
    UnsupportedVersion,
    /// The CONNECT is no packet.
    Malformed,
    /// The CONNECT contradicts itself or the standard.
    Protocol,
    /// The client identifier is too long, has control characters, or is missing. [MQTT-3.1.3-8],
    /// [MQTT3-3.1.3-9]
    ClientIdInvalid,
    /// The user is not known, or the password is not his.
    BadCredentials,
    /// It may not connect, or not like this.
    NotAuthorized,
    /// Whether it may connect cannot be said now.
    Unavailable,
    /// It asks for enhanced authentication. [MQTT-4.12.0-1] So AUTH is never sent, and nothing of what
    /// follows from it arises: [MQTT-4.12.0-2], [MQTT-4.12.0-4], [MQTT-4.12.0-5], [MQTT-4.12.1-2],
    /// [MQTT-3.15.2-1], [MQTT-3.15.2-2], [MQTT-3.15.2-3].
    BadAuthMethod,
    /// The will's topic is no topic name.
    TopicInvalid,
    /// It breaks a limit.
    QuotaExceeded,
}

impl Refusal {
    /// The return code of MQTT 3.1.1, where it has one; else the connection is just closed.
    pub(crate) const fn return_code(self) -> Option<u8> {
        match self {
            Self::UnsupportedVersion => Some(1),
            Self::ClientIdInvalid => Some(2),
            Self::Unavailable => Some(3),
            Self::BadCredentials => Some(4),
            Self::NotAuthorized => Some(5),
            _ => None,
        }
    }

    /// The reason code of MQTT 5.
    pub(crate) const fn reason_code(self) -> u8 {
        match self {
            Self::UnsupportedVersion => 0x84,
            Self::Malformed => 0x81,
            Self::Protocol => 0x82,
            Self::ClientIdInvalid => 0x85,
            Self::BadCredentials => 0x86,
            Self::NotAuthorized => 0x87,
            Self::Unavailable => 0x88,
            Self::BadAuthMethod => 0x8C,
            Self::TopicInvalid => 0x90,
            Self::QuotaExceeded => 0x97,
        }
    }

    /// What was wrong, for a person.
    pub(crate) const fn detail(self) -> &'static str {
        match self {
            Self::UnsupportedVersion => "neither MQTT 3.1.1 nor 5",
            Self::Malformed => "CONNECT cannot be read",
            Self::Protocol => "CONNECT breaks the protocol",
            Self::ClientIdInvalid => "client identifier is not valid",
            Self::BadCredentials => "user or password is wrong",
            Self::NotAuthorized => "not authorized",
            Self::Unavailable => "credentials cannot be checked now",
            Self::BadAuthMethod => "enhanced authentication is not offered",
            Self::TopicInvalid => "will topic is no topic name",
            Self::QuotaExceeded => "there are as many sessions as may be",
        }
    }
}

/// A refused CONNECT, and in which version to say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// The version the client would understand, as far as we can tell.
    pub(crate) version: Version,
    /// Why.
    pub(crate) refusal: Refusal,
}

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::BadCredentials => Self::BadCredentials,
            Denied::NotAuthorized => Self::NotAuthorized,
            Denied::Unavailable => Self::Unavailable,
        }
    }
}

impl From<MqttError> for Refusal {
    fn from(error: MqttError) -> Self {
        match error {
            MqttError::UnsupportedProtocolVersion => Self::UnsupportedVersion,
            MqttError::ProtocolError => Self::Protocol,
            _ => Self::Malformed,
        }
    }
}

impl From<Close> for Refusal {
    fn from(close: Close) -> Self {
        if close.kind == CloseKind::Malformed { Self::Malformed } else { Self::Protocol }
    }
}

/// What a will may ask for and a name may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectLimits {
    /// The longest client identifier, in bytes.
    pub(crate) client_id_bytes_max: usize,
    /// The longest topic, in bytes.
    pub(crate) topic_bytes_max: usize,
}

/// Reads the body of a CONNECT. [MQTT-3.1.2-1], [MQTT-3.1.2-2], [MQTT-3.1.4-1]; of MQTT 3.1.1
/// [MQTT3-3.1.2-1], [MQTT3-3.1.2-2]
///
/// # Errors
/// [`Refused`], with which the connection is to be answered and closed.
pub(crate) fn parse(first: u8, body: &[u8], limits: ConnectLimits) -> Result<Connect, Refused> {
    let v3 = |refusal| Refused { version: Version::V3, refusal };
    let v5 = |refusal| Refused { version: Version::V5, refusal };
    match body {
        [0, 4, b'M', b'Q', b'T', b'T', 4, flags, ..] => {
            check_flags(first, *flags).map_err(v3)?;
            parse_v3(body, limits).map_err(v3)
        }
        [0, 4, b'M', b'Q', b'T', b'T', 5, flags, ..] => {
            check_flags(first, *flags).map_err(v5)?;
            parse_v5(body, limits).map_err(v5)
        }
        [0, 4, b'M', b'Q', b'T', b'T', level, ..] if *level > 5 => {
            Err(v5(Refusal::UnsupportedVersion))
        }
        [0, 4, b'M', b'Q', b'T', b'T', _, ..] | [0, 6, b'M', b'Q', b'I', b's', b'd', b'p', ..] => {
            Err(v3(Refusal::UnsupportedVersion))
        }
        _ => Err(v3(Refusal::Malformed)),
    }
}

/// The connect flags' rules that the crate leaves out.
fn check_flags(first: u8, flags: u8) -> Result<(), Refusal> {
    let (will, will_qos, will_retain) = (flags & 4 != 0, flags >> 3 & 3, flags & 0x20 != 0);
    // [MQTT-3.1.2-3] reserved; [MQTT-3.1.2-11], [MQTT-3.1.2-12], [MQTT-3.1.2-13] will flags
    if first & 0x0F != 0 || flags & 1 != 0 || will_qos == 3 {
        return Err(Refusal::Malformed);
    }
    if !will && (will_qos != 0 || will_retain) {
        return Err(Refusal::Malformed);
    }
    Ok(())
}

// The crate holds that the fields are there that the flags announce, no others, and in order:
// [MQTT-3.1.2-9], [MQTT3-3.1.2-11], [MQTT3-3.1.2-12] the will; [MQTT-3.1.2-16], [MQTT-3.1.2-17]
// the user name; [MQTT-3.1.2-18], [MQTT-3.1.2-19], [MQTT3-3.1.2-22] the password; [MQTT-3.1.3-1],
// [MQTT-3.1.3-3] the order; [MQTT-3.1.3-4], [MQTT-3.1.3-11], [MQTT-3.1.3-12] that they are texts.

fn parse_v3(body: &[u8], limits: ConnectLimits) -> Result<Connect, Refusal> {
    let (packet, consumed) = v3_1_1::Connect::parse(body)?;
    if consumed != body.len() || has_nul(packet.user_name()) {
        return Err(Refusal::Malformed);
    }
    let client_id = client_id(packet.client_id(), limits)?;
    if client_id.is_none() && !packet.clean_session() {
        return Err(Refusal::ClientIdInvalid); // [MQTT3-3.1.3-7], [MQTT3-3.1.3-8]
    }
    let will = match (packet.will_topic(), packet.will_payload()) {
        (Some(topic), Some(payload)) => {
            let will = will(topic, payload, packet.will_qos(), limits)?;
            Some(Will { retain: packet.will_retain(), ..will })
        }
        _ => None,
    };
    Ok(Connect {
        version: Version::V3,
        client_id,
        keep_alive_s: packet.keep_alive(),
        start: if packet.clean_session() { Start::Clean } else { Start::Resume },
        receive_maximum: u16::MAX,
        packet_bytes_max: usize::MAX,
        topic_alias_max: 0,
        reasons: Reasons::Everywhere,
        session_expiry_s: if packet.clean_session() { 0 } else { u32::MAX },
        will,
        user: packet.user_name().map(Into::into),
        password: packet.password().map(|it| Password(it.into())),
    })
}

/// Where the connect flags lie in the body.
const FLAGS_AT: usize = 7;

/// MQTT 5 allows a password without a user name; the crate refuses it. So the flag is cleared for
/// the crate, and the password it then leaves is read here.
fn read_v5(body: &[u8]) -> Result<(v5_0::Connect, Option<Password>), Refusal> {
    const USER_NAME_AND_PASSWORD: u8 = 0xC0;
    const PASSWORD: u8 = 0x40;
    let alone = body.get(FLAGS_AT).is_some_and(|it| it & USER_NAME_AND_PASSWORD == PASSWORD);
    let (packet, password, consumed) = if alone {
        let mut body = body.to_vec();
        body[FLAGS_AT] &= !PASSWORD;
        let (packet, consumed) = v5_0::Connect::parse(&body)?;
        let (password, password_bytes) = MqttBinary::decode(&body[consumed..])?;
        (packet, Some(Password(password.as_slice().into())), consumed + password_bytes)
    } else {
        let (packet, consumed) = v5_0::Connect::parse(body)?;
        let password = packet.password().map(|it| Password(it.into()));
        (packet, password, consumed)
    };
    if consumed == body.len() { Ok((packet, password)) } else { Err(Refusal::Malformed) }
}

fn parse_v5(body: &[u8], limits: ConnectLimits) -> Result<Connect, Refusal> {
    let (packet, password) = read_v5(body)?;
    if has_nul(packet.user_name()) {
        return Err(Refusal::Malformed);
    }
    properties::check_values(packet.props())?;
    properties::check_values(packet.will_props())?;
    let mut connect = Connect {
        version: Version::V5,
        client_id: client_id(packet.client_id(), limits)?,
        keep_alive_s: packet.keep_alive(),
        start: if packet.clean_start() { Start::Clean } else { Start::Resume },
        receive_maximum: u16::MAX,
        packet_bytes_max: usize::MAX,
        topic_alias_max: 0,
        reasons: Reasons::Everywhere,
        session_expiry_s: 0,
        will: None,
        user: packet.user_name().map(Into::into),
        password,
    };
    for property in packet.props() {
        match property {
            Property::ReceiveMaximum(it) => connect.receive_maximum = it.val(),
            Property::MaximumPacketSize(it) => {
                connect.packet_bytes_max = usize::try_from(it.val()).unwrap_or(usize::MAX);
            }
            Property::SessionExpiryInterval(it) => connect.session_expiry_s = it.val(),
            Property::TopicAliasMaximum(it) => connect.topic_alias_max = it.val(),
            Property::RequestProblemInformation(it) if it.val() == 0 => {
                connect.reasons = Reasons::Fatal;
            }
            Property::AuthenticationMethod(_) => return Err(Refusal::BadAuthMethod),
            Property::AuthenticationData(_) => return Err(Refusal::Protocol),
            _ => {}
        }
    }
    if packet.will_flag() {
        connect.will = Some(will_v5(&packet, limits)?);
    }
    Ok(connect)
}

fn will_v5(packet: &v5_0::Connect, limits: ConnectLimits) -> Result<Will, Refusal> {
    let topic = packet.will_topic().ok_or(Refusal::Malformed)?;
    let payload = packet.will_payload().unwrap_or_default();
    let mut will = will(topic, payload, packet.will_qos(), limits)?;
    will.retain = packet.will_retain();
    let mut others = Vec::new();
    for property in packet.will_props() {
        match property {
            Property::WillDelayInterval(it) => will.delay_s = it.val(),
            Property::MessageExpiryInterval(it) => will.expiry_s = Some(it.val()),
            other => others.extend(other.to_continuous_buffer()),
        }
    }
    will.properties = others.into_boxed_slice();
    Ok(will)
}

fn will(topic: &str, payload: &[u8], qos: Qos, limits: ConnectLimits) -> Result<Will, Refusal> {
    if topic.len() > limits.topic_bytes_max || check_topic(topic).is_err() {
        return Err(Refusal::TopicInvalid);
    }
    Ok(Will {
        topic: topic.into(),
        payload: payload.into(),
        properties: Box::default(),
        qos: match qos {
            Qos::AtMostOnce => QoS::AtMostOnce,
            Qos::AtLeastOnce => QoS::AtLeastOnce,
            Qos::ExactlyOnce => QoS::ExactlyOnce,
        },
        retain: false,
        delay_s: 0,
        expiry_s: None,
    })
}

fn has_nul(text: Option<&str>) -> bool {
    text.is_some_and(|text| text.contains('\0'))
}

fn client_id(text: &str, limits: ConnectLimits) -> Result<Option<ClientId>, Refusal> {
    if text.is_empty() {
        return Ok(None);
    }
    if text.len() > limits.client_id_bytes_max {
        return Err(Refusal::ClientIdInvalid);
    }
    ClientId::new(text).map(Some).map_err(|_| Refusal::ClientIdInvalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ConnectLimits = ConnectLimits { client_id_bytes_max: 8, topic_bytes_max: 8 };

    fn read(level: u8, flags: u8, rest: &[u8]) -> Result<Connect, Refused> {
        let mut body = b"\0\x04MQTT".to_vec();
        body.extend([level, flags, 0, 30]);
        body.extend(rest);
        parse(0x10, &body, LIMITS)
    }

    fn check(level: u8, flags: u8, rest: &[u8], refusal: Refusal) {
        let found = read(level, flags, rest).map_err(|refused| refused.refusal);
        assert_eq!(found, Err(refusal), "{level} {flags:x} {rest:x?}");
    }

    #[test]
    fn both_versions_are_read() {
        let v3 = read(4, 2, b"\0\x01c").expect("valid");
        assert_eq!((v3.version, v3.keep_alive_s), (Version::V3, 30));
        let v5 = read(5, 2, b"\x03\x21\0\x07\0\0").expect("valid");
        assert_eq!((v5.client_id, v5.receive_maximum), (None, 7));
    }

    #[test]
    fn a_password_may_come_alone_in_version_5_only() {
        assert!(read(5, 0x42, b"\0\0\x01c\0\x02pw").is_ok());
        check(5, 0x42, b"\0\0\x01c\0\x03pw", Refusal::Malformed);
        check(4, 0x42, b"\0\x01c\0\x02pw", Refusal::Protocol);
    }

    #[test]
    fn a_legal_topic_alias_maximum_of_zero_is_accepted() {
        assert!(read(5, 2, b"\x03\x22\0\0\0\x01c").is_ok());
    }

    #[test]
    fn a_will_is_read_with_its_delay_apart() {
        let will = read(5, 0x0E, b"\0\0\x01c\x07\x18\0\0\0\x05\x01\x01\0\x01w\0\x02hi");
        let will = will.expect("valid").will.expect("there is one");
        assert_eq!((&*will.topic, &*will.payload), ("w", &b"hi"[..]));
        assert_eq!((&*will.properties, will.qos), (&[1, 1][..], QoS::AtLeastOnce));
        assert_eq!((will.delay_s, will.expiry_s, will.retain), (5, None, false));
        let will = read(5, 0x36, b"\0\0\x01c\x05\x02\0\0\0\x09\0\x01w\0\x02hi");
        let will = will.expect("valid").will.expect("there is one");
        assert_eq!((will.qos, will.expiry_s, will.retain), (QoS::ExactlyOnce, Some(9), true));
    }

    #[test]
    fn wrong_connects_are_refused() {
        check(4, 2, b"\0\x09clientid9", Refusal::ClientIdInvalid);
        check(4, 2, b"\0\x01\x07", Refusal::ClientIdInvalid);
        check(4, 0, b"\0\0", Refusal::ClientIdInvalid);
        check(4, 3, b"\0\x01c", Refusal::Malformed);
        check(4, 0x22, b"\0\x01c", Refusal::Malformed);
        check(4, 2, b"\0\x01cX", Refusal::Malformed);
        check(4, 6, b"\0\x01c\0\x01#\0\0", Refusal::TopicInvalid);
        check(5, 0x1E, b"\0\0\x01c\0\0\x01w\0\0", Refusal::Malformed);
        check(5, 2, b"\x04\x15\0\x01x\0\x01c", Refusal::BadAuthMethod);
        check(3, 2, b"\0\x01c", Refusal::UnsupportedVersion);
        check(6, 2, b"\0\x01c", Refusal::UnsupportedVersion);
        let old = parse(0x10, b"\0\x06MQIsdp\x03\x02\0\0\0\x01c", LIMITS);
        assert_eq!(old.map_err(|it| it.refusal), Err(Refusal::UnsupportedVersion));
    }
}
