-- Full-text search. pg_trgm and btree_gin are trusted extensions: who may create a schema in the database may create them.
-- Where an administrator has put them elsewhere, they are used there.
create schema phantom_extensions;
grant usage on schema phantom_extensions to phantom_search;
create extension if not exists pg_trgm with schema phantom_extensions;
create extension if not exists btree_gin with schema phantom_extensions;

-- What is found of a model, a row each. words are its words as lexemes, each behind its tenant ('acme/digit'), so that the
-- index leads to the rows of one tenant; A name, B tags, C description, D model type (twice) and algorithm (once). The words
-- of the name stand a second time, as 'acme#digit', so that models with such a name are found without looking at the rest.
create table phantom.model_search (
  tenant_id   text collate "C" not null,
  generation  integer not null,
  model_id    text collate "C" not null,
  name        text not null,
  model_type  text not null,
  algorithm   text not null,
  tags        jsonb not null,
  description text not null,
  words       tsvector not null,
  constraint model_search_pkey primary key (tenant_id, generation, model_id)
);

-- Without the pending list, because whoever searches would have to read it.
create index model_search_by_word on phantom.model_search using gin (words) with (fastupdate = off);
{{ template "shared/projected.sql" "phantom.model_search" }}

-- The words that ever stood in a tenant's models: what a word with a typo may have meant. Never taken back, so a rebuild
-- gives the same rows.
create table phantom.search_word (
  tenant_id  text collate "C" not null,
  generation integer not null,
  word       text collate "C" not null,
  constraint search_word_pkey primary key (tenant_id, generation, word)
);
{{ template "shared/projected.sql" "phantom.search_word" }}

do $$
begin
  execute format('create index search_word_like on phantom.search_word using gin (tenant_id, word %I.gin_trgm_ops) with (fastupdate = off)',
    (select n.nspname from pg_extension e join pg_namespace n on n.oid = e.extnamespace where e.extname = 'pg_trgm'));
end
$$;

create policy search_reads on phantom.model_search for select to phantom_search using (true);
create policy search_reads on phantom.search_word for select to phantom_search using (true);
grant select on phantom.model_search, phantom.search_word to phantom_search;

-- search_lexeme is a word of a tenant as an operand of a tsquery, whatever stands in it.
create function phantom.search_lexeme(p_tenant text, p_mark text, p_word text, p_how text) returns text
language sql immutable
as $function$
  select '''' || replace(replace(p_tenant || p_mark || p_word, '\', '\\'), '''', '''''') || '''' || p_how
$function$;
revoke execute on function phantom.search_lexeme(text, text, text, text) from public;
grant execute on function phantom.search_lexeme(text, text, text, text) to phantom_search;

-- search_query is the tsquery, in text, of all words, or of any: each is the beginning of a word of the tenant or, when none
-- begins so, one of those that are like it. Null when a word is like none.
create function phantom.search_queries(p_tenant text, p_generation integer, p_words text[], out named text, out every text, out either text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $function$
declare
  v_word  text;
  v_meant text[];
  v_how   text;
begin
  foreach v_word in array p_words loop
    v_how := ':*';
    v_meant := array[v_word];
    perform from phantom.search_word s
      where s.tenant_id = p_tenant and s.generation = p_generation and s.word >= v_word
        and s.word < v_word || chr(1114109)
      limit 1;
    if not found then
      v_how := '';
      v_meant := array(
        select s.word from phantom.search_word s
         where s.tenant_id = p_tenant and s.generation = p_generation and s.word % v_word
         order by similarity(s.word, v_word) desc, s.word limit 5);
      if v_meant = '{}' then
        named := null; every := null; either := null;
        return;
      end if;
    end if;
    named := concat_ws(' & ', named, '(' || (select string_agg(phantom.search_lexeme(p_tenant, '#', m, v_how), ' | ') from unnest(v_meant) m) || ')');
    every := concat_ws(' & ', every, '(' || (select string_agg(phantom.search_lexeme(p_tenant, '/', m, v_how), ' | ') from unnest(v_meant) m) || ')');
    either := concat_ws(' | ', either, (select string_agg(phantom.search_lexeme(p_tenant, '/', m, v_how), ' | ') from unnest(v_meant) m));
  end loop;
end
$function$;
revoke execute on function phantom.search_queries(text, integer, text[]) from public;
grant execute on function phantom.search_queries(text, integer, text[]) to phantom_search;

-- search_models finds models of the transaction's tenant that have every word, the best first: by rank, then by id. The
-- tenant stands in the lexemes and in the statement; under row-level security no operator of an index on words is used.
--
-- At most p_ranked models are ranked, those with all words in the name before others. matches is how many there are, counted
-- up to p_counted: counting needs no words of a row, and costs a tenth.
create function phantom.search_models(
  p_generation integer, p_words text[], p_text text, p_ranked integer, p_counted integer, p_after_rank real, p_after_id text, p_limit integer
) returns table (model_id text, rank real, matches bigint)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
set jit = off
set enable_seqscan = off
as $function$
#variable_conflict use_column
declare
  v_tenant text := nullif(current_setting('phantom.tenant', true), '');
  v_named  tsquery;
  v_every  tsquery;
  v_either   tsquery;
begin
  if v_tenant is null then
    raise exception 'search_models answers for the tenant of the transaction, and there is none';
  end if;
  select q.named::tsquery, q.every::tsquery, q.either::tsquery into v_named, v_every, v_either
    from phantom.search_queries(v_tenant, p_generation, p_words) q;
  if v_every is null then
    return;
  end if;
  return query
  with named as materialized (
    select s.model_id, s.name, s.words from phantom.model_search s
     where s.words @@ v_named and s.tenant_id = v_tenant and s.generation = p_generation
     limit p_ranked),
  found as materialized (
    select * from named
    union all
    (select s.model_id, s.name, s.words from phantom.model_search s
      where s.words @@ v_every and not s.words @@ v_named and s.tenant_id = v_tenant and s.generation = p_generation
      limit p_ranked - (select count(*) from named))),
  ranked as (
    select f.model_id,
           (ts_rank('{0.02, 0.08, 0.3, 1}', f.words, v_either) + similarity(f.name, p_text) * 0.001)::real as rank
      from found f),
  counted as materialized (
    select case when (select count(*) from found) < p_ranked then (select count(*) from found)
      else (select count(*) from (select from phantom.model_search s
        where s.words @@ v_every and s.tenant_id = v_tenant and s.generation = p_generation limit p_counted) c) end as matches)
  select r.model_id, r.rank, (select c.matches from counted c) from ranked r
   where p_after_id is null or r.rank < p_after_rank or r.rank = p_after_rank and r.model_id > p_after_id
   order by r.rank desc, r.model_id limit p_limit;
end
$function$;

-- The functions find the extensions where they are.
do $$
declare
  v_path text := 'pg_catalog, ' || (
    select string_agg(distinct format('%I', n.nspname), ', ')
      from pg_extension e join pg_namespace n on n.oid = e.extnamespace
     where e.extname in ('pg_trgm', 'btree_gin') and n.nspname <> 'pg_catalog') || ', pg_temp';
begin
  execute 'alter function phantom.search_queries set search_path = ' || v_path;
  execute 'alter function phantom.search_models set search_path = ' || v_path;
end
$$;
{{ template "shared/own.sql" (list "phantom_search" "phantom" "search_models") }}

---- create above / drop below ----

drop function phantom.search_models;
drop function phantom.search_queries;
drop function phantom.search_lexeme;
drop table phantom.search_word;
drop table phantom.model_search;
do $$
declare
  v_name text;
begin
  for v_name in select e.extname from pg_extension e join pg_namespace n on n.oid = e.extnamespace
    where n.nspname = 'phantom_extensions' loop
    execute format('drop extension %I', v_name);
  end loop;
end
$$;
drop schema phantom_extensions;
