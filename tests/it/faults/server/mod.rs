//! Group B, the server: ranges, versions, lengths, redirects, statuses and listings that are not what they should be.

mod listings;
mod ranges;
mod redirects;
mod statuses;
mod versions;

use super::kit::Case;

#[test]
fn left_out_of_group_b() {
    Case::left_out(
        "B53",
        "Xet storage that refuses, hangs or lies",
        "files come over plain ranged HTTP only; there is no Xet client",
    );
}
