//! Reads the service's own metrics: sums and quantiles between two scrapes.

use anyhow::{Context, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Quantiles;

/// All samples of one scrape, as text lines.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scrape(String);

impl Scrape {
    /// Asks `host:port` for `/metrics`.
    ///
    /// # Errors
    /// If it does not answer with 200.
    pub(crate) async fn take(address: &str) -> anyhow::Result<Self> {
        Ok(Self(get(address, "/metrics").await?))
    }

    /// The sum of all samples with this name, whatever their labels.
    #[must_use]
    pub(crate) fn sum(&self, name: &str) -> f64 {
        self.samples(name).map(|(_, value)| value).sum()
    }

    fn samples<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        self.0.lines().filter_map(move |line| {
            let (series, value) = line.rsplit_once(' ')?;
            let labels = series.strip_prefix(name)?;
            (labels.is_empty() || labels.starts_with('{')).then_some(())?;
            Some((labels, value.parse().ok()?))
        })
    }

    /// The histogram `name` since `before`: median and 99th percentile in milliseconds, by linear
    /// interpolation inside a bucket as Prometheus' `histogram_quantile` does.
    #[must_use]
    pub(crate) fn quantiles_since(&self, before: &Self, name: &str) -> Option<Quantiles> {
        let bucket_name = format!("{name}_bucket");
        let buckets = |scrape: &Self| -> Vec<(f64, f64)> {
            let found = scrape.samples(&bucket_name).filter_map(|(labels, count)| {
                let bound = labels.split("le=\"").nth(1)?.split('"').next()?;
                let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().ok()? };
                Some((bound, count))
            });
            found.collect()
        };
        let earlier = buckets(before);
        let now: Vec<_> = buckets(self)
            .into_iter()
            .enumerate()
            .map(|(i, (bound, n))| (bound, n - earlier.get(i).map_or(0.0, |&(_, n)| n)))
            .collect();
        Some(Quantiles { p50: quantile(&now, 0.5)? * 1e3, p99: quantile(&now, 0.99)? * 1e3 })
    }
}

fn quantile(buckets: &[(f64, f64)], q: f64) -> Option<f64> {
    let total = buckets.last()?.1;
    if total <= 0.0 {
        return None;
    }
    let rank = total * q;
    let index = buckets.iter().position(|&(_, count)| count >= rank)?;
    let (bound, count) = buckets[index];
    let (low, below) = if index == 0 { (0.0, 0.0) } else { buckets[index - 1] };
    if bound.is_infinite() {
        return Some(low);
    }
    Some(low + (bound - low) * (rank - below) / (count - below).max(1.0))
}

/// Asks for one page.
///
/// # Errors
/// If it does not answer with 200.
pub(crate) async fn get(address: &str, path: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
    if !head.starts_with("HTTP/1.1 200") {
        bail!("{path}: {}", head.lines().next().unwrap_or_default());
    }
    Ok(body.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_what_came_between() {
        let scrape = |a, b, c| {
            Scrape(format!(
                "x_bucket{{le=\"0.001\"}} {a}\nx_bucket{{le=\"0.01\"}} {b}\nx_bucket{{le=\"+Inf\"}} {c}\nx_sum 1\n"
            ))
        };
        let (before, now) = (scrape(50, 50, 50), scrape(150, 250, 250));
        let quantiles = now.quantiles_since(&before, "x").unwrap();
        assert!((quantiles.p50 - 1.0).abs() < 1e-9, "{quantiles:?}");
        assert!((quantiles.p99 - 9.82).abs() < 1e-9, "{quantiles:?}");
        assert!(now.quantiles_since(&now, "x").is_none());
    }

    #[test]
    fn a_sum_takes_whole_names_only() {
        let scrape = Scrape("a{x=\"1\"} 2\na{x=\"2\"} 3\nab 7\na_total 9\n".to_owned());
        assert!((scrape.sum("a") - 5.0).abs() < f64::EPSILON);
    }
}
