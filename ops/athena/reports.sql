-- Reports in a bucket, asked by Athena. docs/operations.md says when, and what this cannot know.
--
-- Put your bucket and prefix into LOCATION, and run the statements one at a time: Athena takes one in each query. The first two
-- make a table and a view in the database that is chosen; the others are questions.
--
-- What is in a report is its host's word. Nothing here looks at a signature; `earmark fleet` does. So a report may say
-- anything, and one that is no JSON, or of other types, must not keep the others from being read: a line that is no JSON has
-- no values (ignore.malformed.json), and a value of another type is none (use.null.for.invalid.data).

-- statement: table
-- Fields that are not listed pass. `from` of a taint is not: no name of a column may be a word of the language.
CREATE EXTERNAL TABLE earmark_reports (
  `schema` bigint,
  `time` bigint,
  instance string,
  boot_id string,
  booted bigint,
  agent string,
  image struct<name:string, version:string, epoch:bigint, architecture:string>,
  manifest string,
  tier string,
  verdict string,
  gate string,
  reason string,
  verified_at bigint,
  violations bigint,
  undecided bigint,
  policy string,
  first_boot string,
  cloned_from string,
  locks map<string,string>,
  locks_told array<string>,
  taints array<struct<kind:string, id:string, locks:array<string>, until:bigint>>,
  taints_more bigint,
  channel struct<state:string, behind:bigint, since:bigint, reason:string, latest:string, counter:bigint, expires:bigint, fetched:bigint, problem:string>,
  dropped bigint,
  ec2 struct<region:string, account:string, ami:string>
)
ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'
WITH SERDEPROPERTIES ('ignore.malformed.json' = 'true', 'use.null.for.invalid.data' = 'true')
LOCATION 's3://BUCKET/PREFIX/';

-- statement: view
-- One row for each instance: its newest report, the others being of earlier boots. A host that does not know its instance
-- counts by its boot. A report from the future would be the newest for ever, and is left to `unusable`. Numbers are neither added
-- up nor made into times before they are known to be small: one that is too large would end the query.
CREATE OR REPLACE VIEW earmark_hosts AS
SELECT
  host, reported_at, image, version, epoch, architecture, manifest, region, account, ami, tier, verdict, gate, reason,
  violations, undecided, first_boot, cloned_from, locks, locks_told, taints, tainted, channel_state, behind, behind_since, latest, agent
FROM (
  SELECT
    coalesce(instance, 'boot ' || boot_id) AS host,
    "time" AS reported_at,
    image.name AS image,
    image.version AS version,
    image.epoch AS epoch,
    image.architecture AS architecture,
    manifest,
    ec2.region AS region,
    ec2.account AS account,
    ec2.ami AS ami,
    tier,
    coalesce(verdict, 'undecided') AS verdict,
    gate,
    reason,
    violations,
    undecided,
    first_boot,
    cloned_from,
    locks,
    locks_told,
    taints,
    coalesce(cardinality(taints), 0) > 0 OR coalesce(taints_more, 0) > 0 AS tainted,
    coalesce(channel.state, 'unknown') AS channel_state,
    channel.behind AS behind,
    CASE WHEN channel.since BETWEEN 0 AND to_unixtime(current_timestamp) + 300 THEN channel.since END AS behind_since,
    channel.latest AS latest,
    agent,
    row_number() OVER (
      PARTITION BY coalesce(instance, 'boot ' || boot_id) ORDER BY "time" DESC, boot_id
    ) AS place
  FROM earmark_reports
  WHERE "schema" = 1 AND boot_id IS NOT NULL AND "time" BETWEEN 0 AND to_unixtime(current_timestamp) + 300
) AS reports
WHERE place = 1;

-- query: hosts
-- Every instance once.
SELECT host, from_unixtime(reported_at) AS reported, image, version, region, verdict, channel_state, tainted
FROM earmark_hosts
ORDER BY image, host;

-- query: not_on_the_latest
-- By what the host last heard of its channel. Who does not know where it stands is not known to be on the latest.
SELECT image, version, latest, channel_state, behind, from_unixtime(behind_since) AS since, host, region
FROM earmark_hosts
WHERE channel_state <> 'current'
ORDER BY image, behind DESC NULLS FIRST, host;

-- query: versions_per_region
SELECT image, version, region, count(*) AS hosts
FROM earmark_hosts
GROUP BY image, version, region
ORDER BY image, version, region;

-- query: silent
-- For a day. Hosts that never reported are in no bucket: compare `hosts` with an inventory.
SELECT host, from_unixtime(reported_at) AS since, image, version, region
FROM earmark_hosts
WHERE reported_at < to_unixtime(current_timestamp) - 86400
ORDER BY reported_at, host;

-- query: violated
-- And those of which nobody knows.
SELECT host, verdict, violations, undecided, reason, image, version, region
FROM earmark_hosts
WHERE verdict NOT IN ('verified', 'partial')
ORDER BY verdict DESC, host;

-- query: tainted
-- Opened by a grant, or begun as a copy of another instance.
SELECT host, taints, cloned_from, image, version, region
FROM earmark_hosts
WHERE tainted OR cloned_from IS NOT NULL
ORDER BY host;

-- query: unusable
-- Objects whose report is none that this file can read, or from the future.
SELECT "$path" AS object, instance, "time"
FROM earmark_reports
WHERE "schema" IS DISTINCT FROM 1 OR boot_id IS NULL
  OR coalesce("time" NOT BETWEEN 0 AND to_unixtime(current_timestamp) + 300, true)
ORDER BY 1;
