//! A decoder of `io.prometheus.client.MetricFamily`, written from the field numbers alone.

/// One field: its number and what it holds.
enum Field<'a> {
    Varint(u64),
    Double(f64),
    Bytes(&'a [u8]),
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first().expect("a varint ends");
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return value;
        }
    }
    panic!("a varint of more than ten bytes")
}

fn take<'a>(bytes: &mut &'a [u8], len: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(len);
    *bytes = rest;
    taken
}

fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let field = match tag & 7 {
            0 => Field::Varint(varint(&mut bytes)),
            1 => Field::Double(f64::from_le_bytes(take(&mut bytes, 8).try_into().unwrap())),
            2 => {
                let len = varint(&mut bytes) as usize;
                Field::Bytes(take(&mut bytes, len))
            }
            other => panic!("wire type {other}"),
        };
        fields.push((tag >> 3, field));
    }
    fields
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// One sample as a line; labels sorted.
pub(crate) fn line(name: &str, mut labels: Vec<(String, String)>, value: f64) -> String {
    labels.sort();
    // Bounds are spelled differently in formats, and are the same number.
    let labels: Vec<String> = labels
        .into_iter()
        .map(|(name, value)| match (name.as_str(), value.parse::<f64>()) {
            ("le", Ok(bound)) => format!("le={bound:?}"),
            _ => format!("{name}={value:?}"),
        })
        .collect();
    format!("{name}{{{}}} {value:?}", labels.join(","))
}

/// Every sample as text 0.0.4 would have it, sorted.
pub(crate) fn samples(mut body: &[u8]) -> Vec<String> {
    let mut samples = Vec::new();
    while !body.is_empty() {
        let len = varint(&mut body) as usize;
        family(take(&mut body, len), &mut samples);
    }
    samples.sort();
    samples
}

fn family(bytes: &[u8], samples: &mut Vec<String>) {
    let mut name = String::new();
    for (number, field) in fields(bytes) {
        match (number, field) {
            (1, Field::Bytes(bytes)) => name = text(bytes),
            (2 | 5, Field::Bytes(bytes)) => assert!(std::str::from_utf8(bytes).is_ok()),
            (3, Field::Varint(kind)) => assert!(kind <= 5),
            (4, Field::Bytes(bytes)) => metric(&name, bytes, samples),
            (other, _) => panic!("field {other} of a family"),
        }
    }
}

fn metric(name: &str, bytes: &[u8], samples: &mut Vec<String>) {
    let mut labels = Vec::new();
    for (number, field) in fields(bytes) {
        let Field::Bytes(bytes) = field else { panic!("field {number} of a metric") };
        match number {
            1 => {
                let mut pair = ["", ""].map(String::from);
                for (number, field) in fields(bytes) {
                    let Field::Bytes(bytes) = field else { panic!("a label is text") };
                    pair[number as usize - 1] = text(bytes);
                }
                labels.push((pair[0].clone(), pair[1].clone()));
            }
            2 | 3 | 5 => {
                for (number, field) in fields(bytes) {
                    if let (1, Field::Double(value)) = (number, field) {
                        samples.push(line(name, labels.clone(), value));
                    }
                }
            }
            7 => histogram(name, &labels, bytes, samples),
            other => panic!("field {other} of a metric"),
        }
    }
}

fn histogram(name: &str, labels: &[(String, String)], bytes: &[u8], samples: &mut Vec<String>) {
    let bucket = |bound: f64, count: u64| {
        let bound = if bound == f64::INFINITY { "+Inf".into() } else { format!("{bound:?}") };
        let labels = [labels, &[("le".to_owned(), bound)]].concat();
        line(&format!("{name}_bucket"), labels, count as f64)
    };
    for (number, field) in fields(bytes) {
        match (number, field) {
            (1, Field::Varint(count)) => {
                samples.push(line(&format!("{name}_count"), labels.to_vec(), count as f64));
                samples.push(bucket(f64::INFINITY, count));
            }
            (2, Field::Double(sum)) => {
                samples.push(line(&format!("{name}_sum"), labels.to_vec(), sum));
            }
            (3, Field::Bytes(bytes)) => {
                let (mut count, mut bound) = (0, f64::NAN);
                for (number, field) in fields(bytes) {
                    match (number, field) {
                        (1, Field::Varint(value)) => count = value,
                        (2, Field::Double(value)) => bound = value,
                        (other, _) => panic!("field {other} of a bucket"),
                    }
                }
                samples.push(bucket(bound, count));
            }
            (other, _) => panic!("field {other} of a histogram"),
        }
    }
}
