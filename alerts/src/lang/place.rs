//! Places on earth: how far they are apart, and whether one is within an area.

/// The mean radius of the earth, in metres (IUGG).
const EARTH_RADIUS_M: f64 = 6_371_008.8;

/// The metres between two places given as latitude and longitude in degrees, along a great circle
/// (haversine); NaN if either is not known.
pub(crate) fn distance((lat, lon): (f64, f64), (to_lat, to_lon): (f64, f64)) -> f64 {
    let half_lat = (to_lat - lat).to_radians() / 2.0;
    let half_lon = (to_lon - lon).to_radians() / 2.0;
    let chord = half_lat.sin().powi(2)
        + lat.to_radians().cos() * to_lat.to_radians().cos() * half_lon.sin().powi(2);
    2.0 * EARTH_RADIUS_M * chord.sqrt().clamp(0.0, 1.0).asin()
}

/// Whether a place is within a polygon: 1 or 0, NaN if the place is not known. Crossings of a ray
/// to the east are counted (the even-odd rule), taking degrees as a plane: right for areas that
/// do not reach over a pole; of areas that reach over the 180th meridian, longitudes are taken
/// from the first corner.
pub(crate) fn inside((lat, lon): (f64, f64), corners: &[(f64, f64)]) -> f64 {
    if lat.is_nan() || lon.is_nan() {
        return f64::NAN;
    }
    let Some(&(_, origin)) = corners.first() else { return 0.0 };
    // -180 to 180 degrees east of the first corner.
    let east = |degrees: f64| (degrees - origin + 540.0).rem_euclid(360.0) - 180.0;
    let x = east(lon);
    let ends = corners.iter().cycle().skip(1);
    let n_crossed = corners
        .iter()
        .zip(ends)
        .filter(|((from_lat, from_lon), (to_lat, to_lon))| {
            if (*from_lat > lat) == (*to_lat > lat) {
                return false;
            }
            let (from_x, to_x) = (east(*from_lon), east(*to_lon));
            x < from_x + (lat - from_lat) / (to_lat - from_lat) * (to_x - from_x)
        })
        .count();
    f64::from(n_crossed % 2 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_the_earth() {
        let (berlin, paris) = ((52.517_0, 13.388_9), (48.858_9, 2.320_0));
        let metres = distance(berlin, paris);
        assert!((metres - 877_500.0).abs() < 2_000.0, "{metres}");
        assert_eq!(distance(berlin, berlin), 0.0);
        let antipodes = distance((0.0, 0.0), (0.0, 180.0));
        assert!((antipodes - 20_015_114.0).abs() < 10.0, "{antipodes}");
        assert!(distance((f64::NAN, 1.0), berlin).is_nan());
    }

    #[test]
    fn a_polygon_has_an_inside() {
        let square = [(0.0, 0.0), (0.0, 10.0), (10.0, 10.0), (10.0, 0.0)];
        assert_eq!(inside((5.0, 5.0), &square), 1.0);
        for outside in [(5.0, 10.5), (5.0, -0.5), (10.5, 5.0), (-1.0, 5.0), (5.0, 185.0)] {
            assert_eq!(inside(outside, &square), 0.0, "{outside:?}");
        }
        let notched = [(0.0, 0.0), (10.0, 0.0), (2.0, 5.0), (10.0, 10.0), (0.0, 10.0)];
        assert_eq!(inside((6.0, 5.0), &notched), 0.0);
        assert_eq!(inside((1.0, 5.0), &notched), 1.0);
        let dateline = [(0.0, 175.0), (0.0, -175.0), (10.0, -175.0), (10.0, 175.0)];
        assert_eq!(inside((5.0, 179.0), &dateline), 1.0);
        assert_eq!(inside((5.0, -179.0), &dateline), 1.0);
        assert_eq!(inside((5.0, 0.0), &dateline), 0.0);
        assert!(inside((f64::NAN, 0.0), &square).is_nan());
    }
}
