//! Aliases in `directory.db`.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use rmail_proto::{Address, Domain};

use super::{
    super::{
        database::{Durability, in_savepoint},
        lock,
    },
    Directory, find_by_address, raise_version,
};
use crate::{
    Addressee, Alias, AliasFilter, AliasWrite, StoreError,
    alias::{
        Meaning, canonical, distinct, folded,
        pattern::{choose, is_pattern},
        resolve_alias, without_tag,
    },
    limits,
    store::Result,
};

impl Directory {
    pub(in super::super) fn aliases(&self, filter: &AliasFilter) -> Result<Vec<Alias>> {
        let mut reader = lock(&self.reader);
        let transaction = reader.read()?;
        // Wildcards are compared below.
        let base = filter.target.as_ref().map(canonical);
        let base = base.filter(|target| !is_pattern(target.local_part()));
        let base = base.as_ref().map(base_of);
        let mut statement = transaction.prepare_cached(
            "SELECT id, local_part, domain, is_enabled FROM aliases \
             WHERE (?1 IS NULL OR domain = ?1) AND (?2 IS NULL OR id IN \
             (SELECT alias FROM alias_targets WHERE base = ?2)) ORDER BY domain, local_part",
        )?;
        let domain = filter.domain.as_ref().map(Domain::as_str);
        let mut rows = statement.query(params![domain, base])?;
        let mut aliases = Vec::new();
        while let Some(row) = rows.next()? {
            aliases.push(alias_from_row(&transaction, row)?);
        }
        if let Some(target) = &filter.target {
            aliases.retain(|alias| alias.names(target));
        }
        Ok(aliases)
    }

    pub(in super::super) fn alias(&self, address: &Address) -> Result<Option<Alias>> {
        let mut reader = lock(&self.reader);
        find_alias(&*reader.read()?, &canonical(address))
    }

    pub(in super::super) fn addressee(&self, address: &Address) -> Result<Option<Addressee>> {
        let mut reader = lock(&self.reader);
        find_addressee(&*reader.read()?, address)
    }

    pub(in super::super) fn write_aliases(
        &self,
        batch: Vec<AliasWrite>,
    ) -> Result<Vec<Result<()>>> {
        let mut writer = lock(&self.writer);
        let transaction = writer.write(Durability::Synced)?;
        let mut results = Vec::with_capacity(batch.len());
        for operation in batch {
            results.push(in_savepoint(&transaction, || match operation {
                AliasWrite::Create(alias) => create(&transaction, alias),
                AliasWrite::Update {
                    address,
                    targets,
                    is_enabled,
                } => update(&transaction, &canonical(&address), targets, is_enabled),
                AliasWrite::Delete(address) => delete(&transaction, &canonical(&address)),
            })?);
        }
        if results.iter().any(Result::is_ok) {
            raise_version(&transaction)?;
        }
        transaction.commit()?;
        Ok(results)
    }
}

/// Whether an alias has this address.
pub(super) fn has_alias(connection: &Connection, local_part: &str, domain: &str) -> Result<bool> {
    let mut statement =
        connection.prepare_cached("SELECT 1 FROM aliases WHERE domain = ?1 AND local_part = ?2")?;
    Ok(statement.exists([domain, local_part])?)
}

fn create(transaction: &Transaction<'_>, alias: Alias) -> Result<()> {
    let alias = Alias {
        is_enabled: alias.is_enabled,
        ..Alias::new(&alias.address, alias.targets)
    };
    let (local_part, domain) = (alias.address.local_part(), alias.address.domain().as_str());
    let is_taken = has_alias(transaction, local_part, domain)?
        || find_by_address(transaction, &alias.address)?.is_some();
    if is_taken {
        return Err(StoreError::AddressTaken);
    }
    if alias.is_pattern() {
        let count: usize = transaction
            .prepare_cached("SELECT count(*) FROM aliases WHERE domain = ?1 AND is_pattern = 1")?
            .query_row([domain], |row| row.get::<_, u32>(0))? as usize;
        if count >= limits::ALIAS_PATTERNS {
            return Err(StoreError::TooMany("aliases with wildcards in one domain"));
        }
    }
    transaction
        .prepare_cached(
            "INSERT INTO aliases (domain, local_part, is_pattern, is_enabled) \
             VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![
            domain,
            local_part,
            alias.is_pattern(),
            alias.is_enabled
        ])?;
    insert_targets(transaction, transaction.last_insert_rowid(), &alias.targets)?;
    must_lead_to_an_end(transaction, &alias)
}

fn update(
    transaction: &Transaction<'_>,
    address: &Address,
    targets: Option<Vec<Address>>,
    is_enabled: Option<bool>,
) -> Result<()> {
    let id: Option<i64> = transaction
        .prepare_cached(
            "UPDATE aliases SET is_enabled = coalesce(?3, is_enabled) \
             WHERE domain = ?1 AND local_part = ?2 RETURNING id",
        )?
        .query_row(
            params![address.domain().as_str(), address.local_part(), is_enabled],
            |row| row.get(0),
        )
        .optional()?;
    let id = id.ok_or(StoreError::NoSuchAlias)?;
    let may_lead_elsewhere = targets.is_some() || is_enabled == Some(true);
    if let Some(targets) = targets {
        remove_targets(transaction, id)?;
        insert_targets(transaction, id, &distinct(targets))?;
    }
    if may_lead_elsewhere {
        let alias = find_alias(transaction, address)?;
        must_lead_to_an_end(transaction, &alias.expect("it is there"))?;
    }
    Ok(())
}

fn delete(transaction: &Transaction<'_>, address: &Address) -> Result<()> {
    let id: Option<i64> = transaction
        .prepare_cached("DELETE FROM aliases WHERE domain = ?1 AND local_part = ?2 RETURNING id")?
        .query_row([address.domain().as_str(), address.local_part()], |row| {
            row.get(0)
        })
        .optional()?;
    remove_targets(transaction, id.ok_or(StoreError::NoSuchAlias)?)
}

fn remove_targets(transaction: &Transaction<'_>, alias: i64) -> Result<()> {
    transaction
        .prepare_cached("DELETE FROM alias_targets WHERE alias = ?1")?
        .execute([alias])?;
    Ok(())
}

fn insert_targets(transaction: &Transaction<'_>, alias: i64, targets: &[Address]) -> Result<()> {
    assert!(!targets.is_empty(), "an alias leads to somebody");
    if targets.len() > limits::ALIAS_TARGETS {
        return Err(StoreError::TooMany("targets of one alias"));
    }
    let mut statement =
        transaction.prepare_cached("INSERT INTO alias_targets VALUES (?1, ?2, ?3, ?4)")?;
    for (position, target) in (0_u32..).zip(targets) {
        let base = base_of(&folded(target));
        statement.execute(params![alias, position, target.to_string(), base])?;
    }
    Ok(())
}

/// A new loop goes through the alias that made it: it is enough to follow that one. Domains that
/// are not hosted have neither accounts nor aliases, and end a way as well as nobody does.
fn must_lead_to_an_end(transaction: &Transaction<'_>, alias: &Alias) -> Result<()> {
    let resolution = resolve_alias(alias, |address| {
        Ok::<Meaning, StoreError>(match find_addressee(transaction, address)? {
            None => Meaning::Nobody,
            Some(Addressee::Account(account)) => Meaning::Account(account),
            Some(Addressee::Alias(alias)) => Meaning::Alias(alias),
        })
    })?;
    match (resolution.find_loop(), resolution.cut) {
        (Some(address), _) => Err(StoreError::AliasLoop(address.clone())),
        (None, Some(cut)) => Err(StoreError::TooMany(cut.what())),
        (None, None) => Ok(()),
    }
}

fn find_addressee(connection: &Connection, address: &Address) -> Result<Option<Addressee>> {
    let address = folded(address);
    let base = without_tag(&address);
    let spellings = || [Some(&address), base.as_ref()].into_iter().flatten();
    for address in spellings() {
        if let Some(account) = find_by_address(connection, address)? {
            return Ok(Some(Addressee::Account(account)));
        }
        let alias = find_alias(connection, address)?;
        if let Some(alias) = alias.filter(|alias| !alias.is_pattern()) {
            return Ok(Some(Addressee::Alias(alias)));
        }
    }
    let patterns = patterns(connection, address.domain())?;
    for address in spellings() {
        let patterns = patterns.iter().map(String::as_str);
        if let Some(pattern) = choose(patterns, address.local_part()) {
            let found = address_of(pattern.to_owned(), address.domain().as_str())?;
            return Ok(find_alias(connection, &found)?.map(Addressee::Alias));
        }
    }
    Ok(None)
}

fn patterns(connection: &Connection, domain: &Domain) -> Result<Vec<String>> {
    let mut statement = connection
        .prepare_cached("SELECT local_part FROM aliases WHERE domain = ?1 AND is_pattern = 1")?;
    let patterns = statement.query_map([domain.as_str()], |row| row.get(0))?;
    Ok(patterns.collect::<rusqlite::Result<_>>()?)
}

/// The alias that is spelled so.
fn find_alias(connection: &Connection, address: &Address) -> Result<Option<Alias>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, local_part, domain, is_enabled FROM aliases \
         WHERE domain = ?1 AND local_part = ?2",
    )?;
    let mut rows = statement.query([address.domain().as_str(), address.local_part()])?;
    match rows.next()? {
        Some(row) => alias_from_row(connection, row).map(Some),
        None => Ok(None),
    }
}

/// From `id, local_part, domain, is_enabled`.
fn alias_from_row(connection: &Connection, row: &Row<'_>) -> Result<Alias> {
    let id: i64 = row.get(0)?;
    let domain: String = row.get(2)?;
    let mut statement = connection
        .prepare_cached("SELECT address FROM alias_targets WHERE alias = ?1 ORDER BY position")?;
    let targets = statement.query_map([id], |row| row.get::<_, String>(0))?;
    let targets = targets.map(|target| {
        let target = target?;
        Address::parse(&target)
            .map_err(|_| StoreError::Failed(format!("an alias leads to {target:?}")))
    });
    Ok(Alias {
        address: address_of(row.get(1)?, &domain)?,
        targets: targets.collect::<Result<_>>()?,
        is_enabled: row.get(3)?,
    })
}

fn address_of(local_part: String, domain: &str) -> Result<Address> {
    Domain::parse(domain)
        .and_then(|domain| Address::new(local_part, domain))
        .map_err(|_| StoreError::Failed(format!("an alias in {domain} has no valid address")))
}

/// A folded address without its tag.
fn base_of(address: &Address) -> String {
    without_tag(address).as_ref().unwrap_or(address).to_string()
}
