//! A text as a vLLM worker prints it, for tests and benches: no capture is needed.

use std::fmt::Write;

/// A page in the shape of a vLLM worker's: counters with `_created` gauges, gauges, histograms of 20 to 40 buckets
/// with `le` between the other labels, as Python's client orders them. `engines` label sets a family.
pub(crate) fn vllm_text(engines: usize) -> String {
    let mut text = String::from(
        "# HELP python_info Python platform information\n# TYPE python_info gauge\n\
         python_info{implementation=\"CPython\",major=\"3\",minor=\"12\",version=\"3.12.3\"} 1.0\n",
    );
    let model = "model_name=\"Qwen/Qwen3-0.6B\"";
    for family in 0..12 {
        let _ = write!(
            text,
            "# HELP vllm:gauge_{family} Number of requests in some state.\n# TYPE vllm:gauge_{family} gauge\n"
        );
        for engine in 0..engines {
            let _ = writeln!(text, "vllm:gauge_{family}{{engine=\"{engine}\",{model}}} {family}.0");
        }
        let name = format!("vllm:some_tokens_{family}");
        let _ = write!(
            text,
            "# HELP {name}_total Number of tokens processed.\n# TYPE {name}_total counter\n"
        );
        for engine in 0..engines {
            let _ = writeln!(text, "{name}_total{{engine=\"{engine}\",{model}}} 51{family}34.0");
        }
        let _ = write!(
            text,
            "# HELP {name}_created Number of tokens processed.\n# TYPE {name}_created gauge\n"
        );
        for engine in 0..engines {
            let _ = writeln!(
                text,
                "{name}_created{{engine=\"{engine}\",{model}}} 1.7682643398698673e+09"
            );
        }
    }
    let bounds = [
        "0.001", "0.005", "0.01", "0.02", "0.04", "0.06", "0.08", "0.1", "0.25", "0.5", "0.75",
        "1.0", "2.5", "5.0", "7.5", "10.0", "20.0", "40.0", "80.0", "160.0", "640.0", "2560.0",
        "+Inf",
    ];
    for family in 0..14 {
        let name = format!("vllm:some_latency_{family}_seconds");
        let _ = write!(
            text,
            "# HELP {name} Histogram of some latency in seconds.\n# TYPE {name} histogram\n"
        );
        for engine in 0..engines {
            for (at, bound) in bounds.iter().enumerate() {
                let _ = writeln!(
                    text,
                    "{name}_bucket{{engine=\"{engine}\",le=\"{bound}\",{model}}} {}.0",
                    100 * at + family
                );
            }
            let count = 100 * (bounds.len() - 1) + family;
            let _ = writeln!(text, "{name}_count{{engine=\"{engine}\",{model}}} {count}.0");
            let _ = writeln!(text, "{name}_sum{{engine=\"{engine}\",{model}}} 1234.{family}567");
        }
        let _ = write!(
            text,
            "# HELP {name}_created Histogram of some latency in seconds.\n# TYPE {name}_created gauge\n"
        );
        for engine in 0..engines {
            let _ = writeln!(
                text,
                "{name}_created{{engine=\"{engine}\",{model}}} 1.7682643398698673e+09"
            );
        }
    }
    text
}
