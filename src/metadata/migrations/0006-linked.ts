import { type Kysely, sql } from 'kysely'

/**
 * What has a link is noted as stored, as it is from here on in one write with its first link: as used when it came, of the
 * size that its manifest, or one that names it, says.
 */
export async function up(database: Kysely<unknown>): Promise<void> {
  await sql`
    insert into stored (digest, size, used_at)
    select
      link.digest,
      coalesce(
        (select size from manifest where manifest.digest = link.digest),
        (select max(size) from reference where reference.child = link.digest),
        0
      ),
      max(link.created_at)
    from link
    where not exists (select 1 from stored where stored.digest = link.digest)
    group by link.digest`.execute(database)
}
