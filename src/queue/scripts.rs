//! The scripts of `assets/lua`, each loaded once a process and called by its digest.

use std::sync::LazyLock;

use redis::Script;

macro_rules! script {
    ($name:ident, $file:literal) => {
        pub static $name: LazyLock<Script> =
            LazyLock::new(|| Script::new(include_str!(concat!("../../assets/lua/", $file))));
    };
}

script!(FETCH, "fetch.lua");
script!(SETTLE, "settle.lua");
script!(PARK, "park.lua");
script!(BURY, "bury.lua");
script!(RENEW, "renew.lua");
script!(BEAT, "beat.lua");
script!(LEAVE, "leave.lua");
script!(TAKEOVER, "takeover.lua");
script!(TEND, "tend.lua");
script!(PRESENT, "present.lua");
script!(WITHDRAW, "withdraw.lua");
script!(HASTEN, "hasten.lua");
script!(CLAIM, "claim.lua");
