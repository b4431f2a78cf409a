//! Any bytes as an export of OpenTelemetry, in both encodings, under the path of each signal.

#![no_main]

use trueup_core::UnixMs;
use trueup_otlp::{Encoding, Reading, Signal, Text, read};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let reading = Reading { now: UnixMs(1_795_000_000_000), text: Text::Truncated(64) };
    let later = Reading { now: UnixMs(1_795_000_060_000), ..reading };
    for encoding in [Encoding::Protobuf, Encoding::Json] {
        for signal in [None, Some(Signal::Traces), Some(Signal::Logs), Some(Signal::Metrics)] {
            let Ok(export) = read(bytes, encoding, signal, &reading) else { continue };
            let again = read(bytes, encoding, signal, &later).expect("it was read before");
            let keys = |calls: &[trueup_otlp::MappedCall]| -> Vec<_> {
                calls
                    .iter()
                    .map(|call| (call.call.key, call.call.variant, call.call.rank))
                    .collect()
            };
            assert_eq!(keys(&export.calls), keys(&again.calls), "sent again");
            let points = |metered: &[trueup_core::Metered]| -> Vec<_> {
                metered.iter().map(|of| (of.stream, of.point, of.parts, of.value)).collect()
            };
            assert_eq!(points(&export.metered), points(&again.metered), "sent again");
            assert!(export.metered.iter().all(|of| of.value >= 0));
            for call in &export.calls {
                let tokens = call.call.tokens;
                assert!(tokens.reasoning <= tokens.output);
                let cut = call.call.body.as_ref().and_then(|body| body.input_text.as_ref());
                assert!(cut.is_none_or(|text| text.len() <= 64));
            }
        }
    }
});
