-- Commands are remembered for a while and then forgotten. The table is written by every command, so it has no index on
-- created_at: a sweep reads the table piece by piece instead, in the order in which it lies on disk, some pages
-- at a time, and a piece is one short transaction. That costs one read of the table for each sweep, and appends
-- nothing. Batches over the primary key would visit a page once for each of its rows.
do $$
begin
  if not exists (select from pg_catalog.pg_roles where rolname = 'phantom_prune') then
    create role phantom_prune nologin;
  end if;
exception when duplicate_object or unique_violation then
  null; -- another database of the cluster is being migrated at this moment
end
$$;
grant usage on schema phantom to phantom_prune;

-- Where the sweep stands. Whoever holds the row sweeps; the others have nothing to do.
create table phantom.command_sweep (
  only_row   boolean not null default true,
  next_page  bigint not null default 0,
  ended_at   timestamptz not null default '-infinity', -- of the last sweep
  constraint command_sweep_pk primary key (only_row),
  constraint command_sweep_one_row_check check (only_row),
  constraint command_sweep_page_check check (next_page >= 0)
);
insert into phantom.command_sweep default values;
revoke all on phantom.command_sweep from public;
grant select, update on phantom.command_sweep to phantom_prune;

-- The role removes commands and nothing else, and whatever it is asked for, none that is younger than a day.
grant select, delete on phantom.commands to phantom_prune;
create policy prune_reads on phantom.commands for select to phantom_prune using (true);
create policy prune_removes on phantom.commands for delete to phantom_prune using (created_at < now() - interval '1 day');

-- prune_commands takes the next piece of the sweep, p_pages pages. more is false when the sweep has
-- ended, when the last one ended less than p_pause ago, and while somebody else is at work.
create function phantom.prune_commands(p_retention interval, p_pause interval, p_pages integer, out removed bigint, out more boolean)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set jit = off
set enable_seqscan = off
as $function$
declare
  v_page  bigint;
  v_ended timestamptz;
  v_pages bigint;
begin
  if p_retention < interval '1 day' or p_pages < 1 then
    raise exception 'commands are remembered for a day at least, and removed from a page at least: % and % were asked for', p_retention, p_pages;
  end if;
  removed := 0;
  more := false;
  select s.next_page, s.ended_at into v_page, v_ended from phantom.command_sweep s for no key update skip locked;
  if not found or (v_page = 0 and v_ended > clock_timestamp() - p_pause) then
    return;
  end if;
  v_pages := pg_relation_size('phantom.commands') / current_setting('block_size')::bigint;
  delete from phantom.commands c
   where c.ctid >= format('(%s,0)', v_page)::tid and c.ctid < format('(%s,0)', v_page + p_pages)::tid
     and c.created_at < now() - p_retention;
  get diagnostics removed = row_count;
  more := v_page + p_pages < v_pages;
  if more then
    update phantom.command_sweep set next_page = v_page + p_pages;
  else
    update phantom.command_sweep set next_page = 0, ended_at = clock_timestamp();
  end if;
end
$function$;
{{ template "shared/own.sql" (list "phantom_prune" "phantom" "prune_commands") }}

---- create above / drop below ----

drop function phantom.prune_commands;
drop policy prune_removes on phantom.commands;
drop policy prune_reads on phantom.commands;
revoke select, delete on phantom.commands from phantom_prune;
drop table phantom.command_sweep;
revoke usage on schema phantom from phantom_prune;
