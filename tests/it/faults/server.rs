//! Group B, the server: ranges, versions, lengths, redirects, statuses and listings that are not what they should be.
