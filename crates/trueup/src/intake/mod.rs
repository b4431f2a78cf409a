//! What clients post, turned into facts.
