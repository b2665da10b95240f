//! The trace: when requests come, and how much they ask for.

use std::time::Duration;

/// One line of the trace.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// After the first one.
    pub arrival: Duration,
    /// How long its prompt is.
    pub context_tokens: u32,
    /// How long its answer is.
    pub generated_tokens: u32,
}

/// Reads a trace; the first request comes at zero.
pub fn read(text: &str) -> Result<Vec<Request>, String> {
    let lines = text.lines().enumerate().skip(1).filter(|(_, line)| !line.trim().is_empty());
    let parsed = lines.map(|(index, line)| {
        parse(line)
            .ok_or_else(|| format!("line {} is not TIMESTAMP,ContextTokens,GeneratedTokens", index + 1))
    });
    let mut requests = parsed.collect::<Result<Vec<_>, _>>()?;
    requests.sort_by_key(|request| request.arrival);
    let start = requests.first().ok_or("the trace is empty")?.arrival;
    for request in &mut requests {
        request.arrival -= start;
    }
    Ok(requests)
}

/// The same requests at another mean rate.
#[expect(clippy::cast_precision_loss, reason = "no trace has 2^52 requests")]
pub fn at_rate(requests: &[Request], per_second: f64) -> Vec<Request> {
    let length = requests.last().map_or(0.0, |last| last.arrival.as_secs_f64());
    let factor = requests.len() as f64 / per_second / length;
    let scaled =
        requests.iter().map(|request| Request { arrival: request.arrival.mul_f64(factor), ..*request });
    scaled.collect()
}

/// `2023-11-16 18:15:46.6805900,374,44`
fn parse(line: &str) -> Option<Request> {
    let mut fields = line.trim().split(',');
    let (date, time) = fields.next()?.split_once(' ')?;
    let days: u64 = date.rsplit('-').next()?.parse().ok()?;
    let mut parts = time.split(':');
    let hours: u64 = parts.next()?.parse().ok()?;
    let minutes: u64 = parts.next()?.parse().ok()?;
    let seconds: f64 = parts.next()?.parse().ok()?;
    // The trace is of one afternoon: months do not matter.
    let arrival =
        Duration::from_secs(((days * 24 + hours) * 60 + minutes) * 60) + Duration::from_secs_f64(seconds);
    Some(Request {
        arrival,
        context_tokens: fields.next()?.parse().ok()?,
        generated_tokens: fields.next()?.parse().ok()?,
    })
}
