use bytes::BytesMut;
use proptest::prelude::*;

use super::*;

fn text(v: f64) -> String {
    let mut out = BytesMut::new();
    write_f64(&mut out, v);
    String::from_utf8(out.to_vec()).unwrap()
}

fn openmetrics(v: f64) -> String {
    let mut out = BytesMut::new();
    write_f64_openmetrics(&mut out, v);
    String::from_utf8(out.to_vec()).unwrap()
}

/// Measured from Go, see `spec/formats.md` §1.5 and §1.6; the last column is OpenMetrics.
const GOLDEN: &[(f64, &str, &str)] = &[
    (0.0, "0", "0.0"),
    (-0.0, "-0", "-0.0"),
    (1.0, "1", "1.0"),
    (-1.0, "-1", "-1.0"),
    (2.5, "2.5", "2.5"),
    (0.005, "0.005", "0.005"),
    (0.1, "0.1", "0.1"),
    (0.1 + 0.2, "0.30000000000000004", "0.30000000000000004"),
    (0.0001, "0.0001", "0.0001"),
    (0.00012345678901234567, "0.00012345678901234567", "0.00012345678901234567"),
    (0.00001, "1e-05", "1e-05"),
    (0.000012, "1.2e-05", "1.2e-05"),
    (1e-7, "1e-07", "1e-07"),
    (99_999.0, "99999", "99999.0"),
    (100_000.0, "100000", "100000.0"),
    (999_999.0, "999999", "999999.0"),
    (999_999.5, "999999.5", "999999.5"),
    (1_000_000.0, "1e+06", "1e+06"),
    (1_000_001.0, "1.000001e+06", "1.000001e+06"),
    (1_234_567.5, "1.2345675e+06", "1.2345675e+06"),
    (123_456_789.0, "1.23456789e+08", "1.23456789e+08"),
    (1_768_264_339.869_867_3, "1.7682643398698673e+09", "1.7682643398698673e+09"),
    (1e15, "1e+15", "1e+15"),
    (1e16, "1e+16", "1e+16"),
    (1e20, "1e+20", "1e+20"),
    (1e21, "1e+21", "1e+21"),
    (1e99, "1e+99", "1e+99"),
    (1e100, "1e+100", "1e+100"),
    (u64::MAX as f64, "1.8446744073709552e+19", "1.8446744073709552e+19"),
    (9_007_199_254_740_993.0, "9.007199254740992e+15", "9.007199254740992e+15"),
    (f64::MAX, "1.7976931348623157e+308", "1.7976931348623157e+308"),
    (f64::MIN_POSITIVE, "2.2250738585072014e-308", "2.2250738585072014e-308"),
    (5e-324, "5e-324", "5e-324"),
    (-123.456, "-123.456", "-123.456"),
    (f64::INFINITY, "+Inf", "+Inf"),
    (f64::NEG_INFINITY, "-Inf", "-Inf"),
    (f64::NAN, "NaN", "NaN"),
];

#[test]
fn every_measured_example() {
    for &(v, go, om) in GOLDEN {
        assert_eq!(text(v), go, "{v:e}");
        assert_eq!(openmetrics(v), om, "{v:e} in OpenMetrics");
    }
    assert_eq!(text(-f64::NAN), "NaN");
}

#[test]
fn whole_values_are_plain_digits_up_to_2_to_the_53rd() {
    let text = |v: f64| {
        let mut out = BytesMut::new();
        write_value(&mut out, v);
        String::from_utf8(out.to_vec()).unwrap()
    };
    let cases = [
        (0.0, "0"),
        (-0.0, "-0.0"),
        (42.0, "42"),
        (-42.0, "-42"),
        (1e6, "1000000"),
        (22_361_870.0, "22361870"),
        (9_007_199_254_740_992.0, "9007199254740992"),
        (-9_007_199_254_740_992.0, "-9007199254740992"),
        (9_007_199_254_740_994.0, "9007199254740994.0"),
        (0.5, "0.5"),
        (1_234_567.5, "1234567.5"),
        (1e300, "1e+300"),
        (f64::NAN, "NaN"),
        (f64::INFINITY, "+Inf"),
        (f64::NEG_INFINITY, "-Inf"),
        (5e-324, "5e-324"),
    ];
    for (value, expected) in cases {
        assert_eq!(text(value), expected);
    }
}

#[test]
fn integers_are_exact_to_the_last() {
    for (v, expected) in
        [(0, "0"), (7, "7"), (1 << 53, "9007199254740992"), (u64::MAX, "18446744073709551615")]
    {
        let mut out = BytesMut::new();
        write_u64(&mut out, v);
        assert_eq!(&out[..], expected.as_bytes());
    }
}

#[test]
fn every_power_of_ten() {
    for x in -323..=308 {
        let v: f64 = format!("1e{x}").parse().unwrap();
        let expected = match x {
            -4..0 => format!("0.{}1", "0".repeat((-x - 1) as usize)),
            0..6 => format!("1{}", "0".repeat(x as usize)),
            _ => format!("1e{}{:02}", if x < 0 { '-' } else { '+' }, i32::abs(x)),
        };
        assert_eq!(text(v), expected);
    }
}

/// The same text by another road: the digits of `{:e}` in std, laid out with strings.
fn oracle(v: f64) -> String {
    let scientific = format!("{:e}", v.abs());
    let (mantissa, x) = scientific.split_once('e').unwrap();
    let (digits, x) = (mantissa.replace('.', ""), x.parse::<i32>().unwrap());
    let body = if !(-4..6).contains(&x) {
        let sign = if x < 0 { '-' } else { '+' };
        format!("{mantissa}e{sign}{:02}", x.abs())
    } else if x < 0 {
        format!("0.{}{digits}", "0".repeat((-x - 1) as usize))
    } else if digits.len() <= x as usize + 1 {
        format!("{digits:0<width$}", width = x as usize + 1)
    } else {
        format!("{}.{}", &digits[..x as usize + 1], &digits[x as usize + 1..])
    };
    if v.is_sign_negative() { format!("-{body}") } else { body }
}

/// Returns whether both texts are equal, or differ as equally close shortest texts may: of those std takes the upper one,
/// but Go, Python and ryu the one that ends in an even digit.
fn same_or_tie(ours: &str, std: &str) -> bool {
    let mut differing = ours.bytes().zip(std.bytes()).filter(|(a, b)| a != b);
    match (differing.next(), differing.next()) {
        (None, None) => ours.len() == std.len(),
        (Some((a, b)), None) => ours.len() == std.len() && a % 2 == 0 && b == a + 1,
        _ => false,
    }
}

#[test]
fn ties_go_to_the_even_digit() {
    assert_eq!(text(4_019_936_558_780_241.0 / 4.0), "1.0049841396950602e+15");
}

proptest! {
    #[test]
    fn any_bits_read_back(bits in any::<u64>()) {
        let v = f64::from_bits(bits);
        let written = text(v);
        prop_assert!(written.len() <= F64_TEXT_MAX);
        let back: f64 = written.parse().unwrap();
        if v.is_nan() {
            prop_assert!(back.is_nan());
        } else {
            prop_assert_eq!(back.to_bits(), bits);
        }
        let back: f64 = openmetrics(v).parse().unwrap();
        prop_assert!(back.to_bits() == bits || v.is_nan());
    }

    #[test]
    fn any_bits_agree_with_std(bits in any::<u64>()) {
        let v = f64::from_bits(bits);
        prop_assume!(v.is_finite());
        prop_assert!(same_or_tie(&text(v), &oracle(v)), "{} {}", text(v), oracle(v));
    }

    #[test]
    fn everyday_numbers_agree_with_std(thousandths in -2_000_000_000_i64..2_000_000_000) {
        let v = thousandths as f64 / 1000.0;
        prop_assert!(same_or_tie(&text(v), &oracle(v)), "{} {}", text(v), oracle(v));
    }
}
