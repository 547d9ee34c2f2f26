//! The scripts of `assets/lua`, each loaded once a process and called by its digest.

use std::sync::LazyLock;

use redis::Script;

/// A script, behind the files whose functions it uses.
macro_rules! script {
    ($name:ident, $($file:literal),+) => {
        pub static $name: LazyLock<Script> = LazyLock::new(|| {
            Script::new(concat!($(include_str!(concat!("../../assets/lua/", $file)), "\n"),+))
        });
    };
}

script!(FETCH, "fetch.lua");
script!(SETTLE, "needed.lua", "settle.lua");
script!(PARK, "park.lua");
script!(BURY, "needed.lua", "bury.lua");
script!(CLEAR, "needed.lua", "clear.lua");
script!(RENEW, "renew.lua");
script!(BEAT, "beat.lua");
script!(LOOK, "look.lua");
script!(LEAVE, "leave.lua");
script!(FORGET, "forget.lua");
script!(TAKEOVER, "takeover.lua");
script!(TEND, "tend.lua");
script!(PRESENT, "needed.lua", "present.lua");
script!(WITHDRAW, "needed.lua", "withdraw.lua");
script!(HASTEN, "hasten.lua");
script!(CLAIM, "claim.lua");
