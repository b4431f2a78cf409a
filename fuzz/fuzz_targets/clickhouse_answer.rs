//! Any bytes as the answer of a ClickHouse server: read to their end or refused, and never a row that is
//! not there.

#![no_main]

use trueup_clickhouse::{
    Apart, Kind, KnownSeries, Name, UsageQuestion, Width, count_of, device_of, failed_of,
    folded_of, read, read_blocks, record_of, rollup::saying_of, summary_of, taken_of, token_of,
};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let series = UsageQuestion::of("acme", Width::Quarter);
    let priced = UsageQuestion { apart: Apart::Prices(&[Name::Project]), ..series.clone() };
    let mut known = KnownSeries::default();
    let mut rows = 0_usize;
    let _torn = read(&mut &*bytes, &mut |row| {
        rows += 1;
        for kind in
            [Kind::CallsWithTexts, Kind::Errors, Kind::ErrorsInShort, Kind::Events, Kind::Hosts]
        {
            let _other = record_of(kind, row);
        }
        let _other = (device_of(row).is_ok(), token_of(row).is_ok(), taken_of(row).is_ok());
        let _other = (summary_of(row).is_ok(), saying_of(row).is_ok());
        let _other = (count_of(row).is_ok(), failed_of(row).is_ok(), folded_of(row).is_ok());
        Ok(())
    });
    let mut sums = 0_usize;
    let _torn = read_blocks(&mut &*bytes, &mut |block| {
        for question in [&series, &priced] {
            let _other = known.read(question, block, &mut |_| sums += 1);
        }
        Ok(())
    });
    assert!(sums <= rows * 2);
});
