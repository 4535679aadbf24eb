//! The care of an installation: migrating, looking it over, backing up and restoring, credentials,
//! and what is to be done with one device's data.
//!
//! Everything here works while the service runs and while it does not; [`reach`] knows which.

pub(crate) mod access;
pub(crate) mod backup;
pub(crate) mod device_data;
pub(crate) mod doctor;
pub(crate) mod manifest;
pub(crate) mod reach;
pub(crate) mod restore;

/// `bytes` for a person: `1.4 GB`.
pub(crate) fn shown_bytes(bytes: u64) -> String {
    const UNITS: [(&str, u64); 4] =
        [("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10), ("bytes", 1)];
    let (unit, size) = UNITS.into_iter().find(|(_, size)| bytes >= *size).unwrap_or(("bytes", 1));
    let tenths = u128::from(bytes) * 10 / u128::from(size);
    match (size, tenths % 10) {
        (1, _) | (_, 0) => format!("{} {unit}", tenths / 10),
        (_, rest) => format!("{}.{rest} {unit}", tenths / 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_well() {
        for (bytes, shown) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1 << 20, "1 MB"),
            (1_600 << 20, "1.5 GB"),
            (u64::MAX, "17179869183.9 GB"),
        ] {
            assert_eq!(shown_bytes(bytes), shown);
        }
    }
}
