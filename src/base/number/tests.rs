//! Number text against what Redis 7.2 answers.

use proptest::prelude::*;

use super::*;

#[test]
fn integers_in_their_one_form() {
    for value in [0, 1, -1, 10, i64::MAX, i64::MIN, i64::MAX - 1] {
        assert_eq!(parse_i64(value.to_string().as_bytes()), Some(value));
        assert_eq!(&*format_i64(value), value.to_string().as_bytes());
    }
    for text in [
        "",
        "-",
        "+1",
        "01",
        "-0",
        "-01",
        " 1",
        "1 ",
        "1.0",
        "1e3",
        "0x1",
        "00",
        "9223372036854775808",
        "-9223372036854775809",
        "18446744073709551616",
        "99999999999999999999999",
        "a",
    ] {
        assert_eq!(parse_i64(text.as_bytes()), None, "{text}");
    }
    assert_eq!(parse_u64(b"18446744073709551615"), Some(u64::MAX));
    assert_eq!(parse_u64(b"18446744073709551616"), None);
    assert_eq!(parse_u64(b"-1"), None);
    assert_eq!(parse_u64(b"0"), Some(0));
    assert_eq!(parse_u64(b""), None);
}

#[test]
fn doubles_as_strtod_takes_them() {
    for (text, value) in [
        ("0", 0.0),
        ("1.5", 1.5),
        ("+1.5", 1.5),
        ("-1.5", -1.5),
        (".5", 0.5),
        ("5.", 5.0),
        ("5.e1", 50.0),
        ("1e3", 1000.0),
        ("1E+3", 1000.0),
        ("007", 7.0),
        ("1e-320", 1e-320),
        ("0e999999", 0.0),
        ("0x10", 16.0),
        ("0X1.8p1", 3.0),
        ("-0x.8", -0.5),
        ("0x1.p-1", 0.5),
        ("0x0p0", 0.0),
        ("0x1e5", 485.0),
        ("inf", f64::INFINITY),
        ("+Inf", f64::INFINITY),
        ("-INFINITY", f64::NEG_INFINITY),
        ("1.7976931348623157e308", f64::MAX),
        ("18446744073709551616", 18446744073709551616.0),
    ] {
        assert_eq!(parse_f64(text.as_bytes()), Some(value), "{text}");
        if value.is_finite() {
            assert_eq!(
                parse_f64(text.as_bytes()).map(f64::to_bits),
                Some(value.to_bits()),
                "{text}"
            );
        }
    }
    for text in [
        "",
        " 1",
        "1 ",
        "nan",
        "-nan",
        "nan(1)",
        "e5",
        ".",
        "-",
        "+",
        "1e",
        "1e+",
        "0x",
        "0x.p1",
        "0x1p",
        "1.2.3",
        "1,5",
        "infinit",
        "in",
        "1e400",
        "-1e400",
        "1e-400",
        "0x1p99999",
        "0x1p-99999",
        "1_0",
        "--1",
        "+-1",
        "1e5.0",
        "0xg",
        "1\0",
        "\u{661}",
    ] {
        assert_eq!(parse_f64(text.as_bytes()), None, "{text}");
    }
    let long = "1e99999999999999999999999999";
    assert_eq!(parse_f64(long.as_bytes()), None);
    assert_eq!(parse_f64(&vec![b'9'; 10_000]), None);
}

#[test]
fn doubles_as_redis_replies_them() {
    for (value, text) in [
        (0.0, "0"),
        (-0.0, "-0"),
        (1.0, "1"),
        (-1.0, "-1"),
        (3.0, "3"),
        (0.1, "0.1"),
        (0.5, "0.5"),
        (1.1, "1.1"),
        (-1.25, "-1.25"),
        (0.3 - 0.1, "0.19999999999999998"),
        (100000000000000000.0, "100000000000000000"),
        (1e18, "1000000000000000000"),
        (4611686018427387904.0, "4611686018427387904"),
        (4611686018427388928.0, "4611686018427389000"),
        (1e19, "1e+19"),
        (1e20, "1e+20"),
        (1e21, "1e+21"),
        (1.5e20, "1.5e+20"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
        (5e-324, "5e-324"),
        (1e-5, "0.00001"),
        (1e-6, "0.000001"),
        (1e-7, "1e-7"),
        (1.5e-7, "1.5e-7"),
        (1.234e-4, "1.234e-4"),
        (1.23456e-4, "1.23456e-4"),
        (-1e-10, "-1e-10"),
        (1e100, "1e+100"),
        (12345678901234567890.0, "12345678901234567000"),
        (std::f64::consts::PI, "3.141592653589793"),
        (f64::INFINITY, "inf"),
        (f64::NEG_INFINITY, "-inf"),
        (f64::NAN, "nan"),
    ] {
        assert_eq!(format_double(value).as_str(), text);
    }
}

#[test]
fn fixed_point() {
    for (value, digits, text) in [
        (166274.1516, 4, "166274.1516"),
        (0.0, 4, "0.0000"),
        (0.775, 4, "0.7750"),
        (-0.0001, 4, "-0.0001"),
        (12.0, 1, "12.0"),
        (0.05, 1, "0.0"),
        (1.99999, 2, "2.00"),
    ] {
        assert_eq!(format_fixed(value, digits).unwrap().as_str(), text);
    }
    assert!(format_fixed(1e19, 4).is_none());
    assert!(format_fixed(1.0, 0).is_none());
    assert!(format_fixed(1.0, 18).is_none());
    assert!(format_fixed(f64::NAN, 4).is_none());
}

fn long_sum(a: &str, b: &str) -> String {
    (LongDouble::parse(a.as_bytes()).unwrap() + LongDouble::parse(b.as_bytes()).unwrap()).to_human()
}

#[test]
fn long_doubles() {
    assert_eq!(long_sum("10.50", "0.1"), "10.6");
    assert_eq!(long_sum("5.0e3", "200"), "5200");
    assert_eq!(long_sum("3", "1.1"), "4.1");
    assert_eq!(long_sum("1.23", "-1.23"), "0");
    assert_eq!(long_sum("-1.1", "1"), "-0.1");
    assert_eq!(long_sum("0", "1e-18"), "0");
    assert_eq!(long_sum("0", "-1e-18"), "0");
    assert_eq!(long_sum("0", "1e-17"), "0.00000000000000001");
    assert_eq!(long_sum("17179869184", "1.5"), "17179869185.5");
    assert_eq!(
        long_sum("9223372036854775807", "9223372036854775807"),
        "18446744073709551614"
    );
    assert_eq!(long_sum("0", "1e20"), "100000000000000000000");
    assert_eq!(
        long_sum("0", "18446744073709551616"),
        "18446744073709551616"
    );
    assert_eq!(long_sum("0", "0x1p100"), "1267650600228229401496703205376");
    assert_eq!(long_sum("inf", "1"), "inf");
    assert_eq!(long_sum("-inf", "1"), "-inf");
    assert_eq!(long_sum("0", "-0"), "0");
    assert!((LongDouble::parse(b"inf").unwrap() + LongDouble::parse(b"-inf").unwrap()).is_nan());
    // The largest: 4933 digits, whose first are known.
    let largest = LongDouble::parse(b"1.18973149535723176502e4932")
        .unwrap()
        .to_human();
    assert_eq!(
        (largest.len(), &largest[..20]),
        (4933, "11897314953572317650")
    );
    for text in [
        "",
        "nan",
        " 1",
        "1 ",
        "abc",
        "1e5000",
        "1e-5000",
        "1e999999999999",
        "1.2.3",
        "0x",
    ] {
        assert_eq!(LongDouble::parse(text.as_bytes()), None, "{text}");
    }
    assert_eq!(LongDouble::parse(&[b'1'; 5 * 1024]), None);
    assert_eq!(
        LongDouble::parse(b"1e-4940")
            .map(LongDouble::to_human)
            .as_deref(),
        Some("0")
    );
    assert_eq!(LongDouble::from(0.1f64).to_human(), "0.10000000000000001");
    assert_eq!(
        LongDouble::from(i64::MIN).to_human(),
        "-9223372036854775808"
    );
}

proptest! {
    #[test]
    fn doubles_come_back(bits: u64) {
        let value = f64::from_bits(bits);
        prop_assume!(value.is_finite());
        prop_assert_eq!(parse_f64(&format_double(value)).map(f64::to_bits), Some(bits));
    }

    #[test]
    fn no_bytes_panic(text in proptest::collection::vec(any::<u8>(), 0..24)) {
        let _ = (parse_i64(&text), parse_u64(&text), parse_f64(&text), LongDouble::parse(&text));
    }

    #[test]
    fn no_near_number_panics(text in "[-+]?(0x)?[0-9a-f.pe+-]{0,12}") {
        let (double, long) = (parse_f64(text.as_bytes()), LongDouble::parse(text.as_bytes()));
        if double.is_some() {
            prop_assert!(long.is_some(), "{}", text);
        }
    }

    #[test]
    fn integers_come_back(value: i64) {
        prop_assert_eq!(LongDouble::from(value).to_human(), value.to_string());
    }
}

#[test]
fn seventeen_significant_digits_as_c_writes_them() {
    for (value, text) in [
        (0.0, "0"),
        (-0.0, "-0"),
        (f64::INFINITY, "inf"),
        (f64::NEG_INFINITY, "-inf"),
        (0.1, "0.10000000000000001"),
        (-2.5, "-2.5"),
        (100.0, "100"),
        (0.0001, "0.0001"),
        (0.00001, "1.0000000000000001e-05"),
        (1e16, "10000000000000000"),
        (1e17, "1e+17"),
        (4611686018427387904.0, "4.6116860184273879e+18"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
        (-5e-324, "-4.9406564584124654e-324"),
    ] {
        assert_eq!(format_significant(value).as_str(), text);
    }
}
