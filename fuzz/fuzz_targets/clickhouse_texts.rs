//! Any text as a literal of ClickHouse's SQL, which it must not leave, and as the address of a store.

#![no_main]

use trueup_clickhouse::{Address, quoted};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let literal = quoted(text);
    let inner = literal.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')).unwrap();
    let (mut read, mut rest) = (String::new(), inner.chars());
    while let Some(character) = rest.next() {
        assert!(character != '\'' && !character.is_ascii_control());
        if character != '\\' {
            read.push(character);
            continue;
        }
        match rest.next() {
            Some('x') => {
                let digit = |next: Option<char>| next.and_then(|digit| digit.to_digit(16)).unwrap();
                let code = digit(rest.next()) * 16 + digit(rest.next());
                read.push(char::from_u32(code).unwrap());
            }
            Some(escaped) => read.push(escaped),
            None => panic!("a literal that goes on"),
        }
    }
    assert_eq!(read, text);
    if let Ok(address) = Address::parse(text) {
        let again = Address::parse(&address.to_string().replace("***@", "")).unwrap();
        assert_eq!((again.shards, again.database), (address.shards, address.database));
    }
});
