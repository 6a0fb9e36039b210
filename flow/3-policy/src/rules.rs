//! One rule a file. A rule is a pure function from facts and settings to a [`Finding`](postern_mail::Finding); its header says what it
//! does when it cannot know.

pub mod arc;
pub mod authenticity;
pub mod dkim;
pub mod dmarc;
pub mod dnsbl;
pub mod filters;
pub mod greylist;
pub mod guard;
pub mod hygiene;
pub mod links;
pub mod lists;
pub mod loops;
pub mod recipient;
pub mod relay;
pub mod reverse_dns;
pub mod scope;
pub mod score;
pub mod sender;
pub mod sender_identity;
pub mod size;
pub mod spf;
