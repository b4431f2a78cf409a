//! Any bytes as the answer of a ClickHouse server: read to their end or refused, and never a row that is
//! not there.

#![no_main]

use trueup_clickhouse::{
    Kind, UsageQuestion, Width, count_of, device_of, failed_of, folded_of, read, record_of, taken_of, token_of,
    usage_of,
};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let question = UsageQuestion::of("acme", Width::Quarter);
    let mut rows = 0_usize;
    let _torn = read(&mut &*bytes, &mut |row| {
        rows += 1;
        let _other = usage_of(&question, row);
        for kind in [Kind::CallsWithTexts, Kind::Errors, Kind::ErrorsInShort, Kind::Events, Kind::Hosts] {
            let _other = record_of(kind, row);
        }
        let _other = (device_of(row).is_ok(), token_of(row).is_ok(), taken_of(row).is_ok());
        let _other = (count_of(row).is_ok(), failed_of(row).is_ok(), folded_of(row).is_ok());
        Ok(())
    });
});
