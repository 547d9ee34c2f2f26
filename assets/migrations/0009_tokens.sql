-- Tokens for the web producer. Of a token its hash is kept, so whoever reads this table can use none of them.
create table millstream.tokens (
    id           uuid primary key,
    -- What people call it; also who the book says it was.
    name         text not null,
    hash         bytea not null unique,
    scopes       text[] not null,
    created_by   text not null,
    created_at   timestamptz not null default now(),
    expires_at   timestamptz,
    -- To the minute.
    last_used_at timestamptz,
    revoked_at   timestamptz
);
-- Of those that count there is one for each name.
create unique index tokens_name_idx on millstream.tokens (name) where revoked_at is null;
