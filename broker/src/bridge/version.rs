//! Which MQTT a bridge speaks the next time, by what came of the last.

use super::config::Protocol;
use super::exchange::End;
use crate::codec::Version;

/// The one to begin with.
pub(crate) const fn first(protocol: Protocol) -> Version {
    match protocol {
        Protocol::Auto | Protocol::V5 => Version::V5,
        Protocol::V3 => Version::V3,
    }
}

/// The one to go on with, after an attempt with `last` that ended so. `spoken` is what the broker has
/// understood since the service started: a connection that breaks early, as with a broker that is killed,
/// does not unsay it.
pub(crate) fn next(
    protocol: Protocol,
    last: Version,
    end: &End,
    spoken: Option<Version>,
) -> Version {
    let other = match last {
        Version::V5 => Version::V3,
        Version::V3 => Version::V5,
    };
    match (protocol, end, spoken) {
        (Protocol::V5 | Protocol::V3, ..) => first(protocol),
        (Protocol::Auto, End::WrongVersion, _) | (Protocol::Auto, End::Mute(_), None) => other,
        (Protocol::Auto, _, Some(spoken)) => spoken,
        (Protocol::Auto, _, None) => first(protocol),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mqtt_5_is_given_up_only_for_a_broker_that_does_not_know_it() {
        const V5: Version = Version::V5;
        const V3: Version = Version::V3;
        let failed = || End::Failed(String::new());
        let mute = || End::Mute(String::new());
        for (last, end, spoken, expected) in [
            (V5, End::WrongVersion, None, V3),
            (V5, mute(), None, V3),
            (V3, mute(), None, V5),
            (V5, failed(), None, V5),
            (V3, failed(), None, V5),
            (V5, mute(), Some(V5), V5),
            (V3, failed(), Some(V3), V3),
            (V3, mute(), Some(V3), V3),
            (V3, End::WrongVersion, Some(V3), V5),
        ] {
            assert_eq!(next(Protocol::Auto, last, &end, spoken), expected, "{end:?} {spoken:?}");
        }
        assert_eq!(next(Protocol::V5, V5, &End::WrongVersion, None), V5);
        assert_eq!(next(Protocol::V3, V3, &mute(), None), V3);
    }
}
