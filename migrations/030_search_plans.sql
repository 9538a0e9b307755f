-- A search reads the index on words once, and from its narrowest side.

drop function phantom.search_models;
drop function phantom.search_queries;

-- search_queries are the tsqueries of a question's words, in text. A word stands for the tenant's words that begin with it, up
-- to 16 of them spelled out: the index skips through those. Of more the beginning is asked for, which it reads to the end. Where
-- none begins so, a word stands for those that are like it. All are null when a word is like none.
--
-- every asks for all words, named for all of them in the name, either for any: it is for ranking, and spells only words with a
-- typo. sure asks for those alone that were spelled out, and is null where these are all or none.
create function phantom.search_queries(p_tenant text, p_generation integer, p_words text[],
  out named text, out every text, out either text, out sure text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $function$
declare
  c_spelled constant integer := 16;
  v_word  text;
  v_meant text[];
  v_asked text[];
  v_how   text;
  v_begun boolean;
  v_wide  boolean := false;
begin
  foreach v_word in array p_words loop
    v_meant := array(
      select s.word from phantom.search_word s
       where s.tenant_id = p_tenant and s.generation = p_generation and s.word >= v_word
         and s.word < v_word || chr(1114109)
       order by s.word limit c_spelled + 1);
    v_begun := v_meant <> '{}';
    if not v_begun then
      v_meant := phantom.search_like(p_tenant, p_generation, v_word);
      if v_meant = '{}' then
        named := null; every := null; either := null; sure := null;
        return;
      end if;
    end if;
    v_asked := v_meant;
    v_how := '';
    if cardinality(v_meant) > c_spelled then
      v_wide := true;
      v_asked := array[v_word];
      v_how := ':*';
    else
      sure := concat_ws(' & ', sure, phantom.search_any(p_tenant, '/', v_meant, ''));
    end if;
    named := concat_ws(' & ', named, phantom.search_any(p_tenant, '#', v_asked, v_how));
    every := concat_ws(' & ', every, phantom.search_any(p_tenant, '/', v_asked, v_how));
    either := concat_ws(' | ', either, case when v_begun then phantom.search_lexeme(p_tenant, '/', v_word, ':*')
      else phantom.search_any(p_tenant, '/', v_meant, '') end);
  end loop;
  if not v_wide then
    sure := null;
  end if;
end
$function$;
revoke execute on function phantom.search_queries(text, integer, text[]) from public;
grant execute on function phantom.search_queries(text, integer, text[]) to phantom_search;

-- search_like is the words of a tenant that are most like one. Its plan is made anew each time: one that was made while there
-- were few words reads all of them.
create function phantom.search_like(p_tenant text, p_generation integer, p_word text) returns text[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
as $function$
begin
  return array(
    select s.word from phantom.search_word s
     where s.tenant_id = p_tenant and (s.generation = p_generation) is true and s.word % p_word
     order by similarity(s.word, p_word) desc, s.word limit 5);
end
$function$;
revoke execute on function phantom.search_like(text, integer, text) from public;
grant execute on function phantom.search_like(text, integer, text) to phantom_search;

-- search_any is the words of a tenant as a tsquery for one of them, in text.
create function phantom.search_any(p_tenant text, p_mark text, p_words text[], p_how text) returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $function$
begin
  return (select '(' || string_agg(phantom.search_lexeme(p_tenant, p_mark, w, p_how), ' | ') || ')' from unnest(p_words) w);
end
$function$;
revoke execute on function phantom.search_any(text, text, text[], text) from public;
grant execute on function phantom.search_any(text, text, text[], text) to phantom_search;

-- search_first is where those of a tenant's first models stand that have such words.
create function phantom.search_first(p_tenant text, p_generation integer, p_query tsquery, p_of integer, p_most integer) returns tid[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $function$
begin
  return array(
    select f.ctid
      from (select s.ctid, s.words from phantom.model_search s
             where s.tenant_id = p_tenant and s.generation = p_generation order by s.model_id limit p_of) f
     where (f.words @@ p_query) is true
     limit p_most);
end
$function$;
revoke execute on function phantom.search_first(text, integer, tsquery, integer, integer) from public;
grant execute on function phantom.search_first(text, integer, tsquery, integer, integer) to phantom_search;

-- search_found is where models of a tenant with such words stand, at most as many as asked for. The index takes as long as it has
-- entries that fit, however few are asked for; so models that most of a tenant's first ones are like are taken in the order of
-- their keys, as long as every second one is. Else only the index on words may lead to them.
create function phantom.search_found(p_tenant text, p_generation integer, p_query tsquery, p_most integer) returns tid[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $function$
declare
  c_first constant integer := 100;
  v_found tid[];
begin
  v_found := phantom.search_first(p_tenant, p_generation, p_query, c_first, c_first);
  if cardinality(v_found) > c_first / 2 then
    v_found := phantom.search_first(p_tenant, p_generation, p_query, 2 * p_most, p_most);
    if cardinality(v_found) = p_most then
      return v_found;
    end if;
  end if;
  return array(
    select s.ctid from phantom.model_search s
     where s.words @@ p_query and (s.tenant_id = p_tenant and s.generation = p_generation) is true
     limit p_most);
end
$function$;
revoke execute on function phantom.search_found(text, integer, tsquery, integer) from public;
grant execute on function phantom.search_found(text, integer, tsquery, integer) to phantom_search;

-- search_models finds models of the transaction's tenant that have every word, the best first: by rank, then by id. The
-- tenant stands in the lexemes and in the statement; under row-level security no operator of an index on words is used.
--
-- At most p_ranked models are ranked, those with all words in the name before others: ranking reads the words of a row. Where more
-- fit and none has them in the name, names are not compared to the question. matches is how many fit, counted up to p_counted.
--
-- A beginning that many words have is looked for among the models that the other words lead to, where those are few. The plans
-- are generic, because making one takes longer than looking up a few models.
create function phantom.search_models(
  p_generation integer, p_words text[], p_text text, p_ranked integer, p_counted integer, p_after_rank real, p_after_id text, p_limit integer
) returns table (model_id text, rank real, matches bigint)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set jit = off
set enable_seqscan = off
set enable_sort = off
set max_parallel_workers_per_gather = 0
as $function$
#variable_conflict use_column
declare
  v_tenant   text := nullif(current_setting('phantom.tenant', true), '');
  v_asked    record;
  v_every    tsquery;
  v_either   tsquery;
  v_found    tid[];
  v_named    tid[];
  v_many     bigint;
  v_likeness float8 := 0.001; -- of a name: it orders those of the same rank
begin
  if v_tenant is null then
    raise exception 'search_models answers for the tenant of the transaction, and there is none';
  end if;
  v_asked := phantom.search_queries(v_tenant, p_generation, p_words);
  if v_asked.every is null then
    return;
  end if;
  v_every := v_asked.every;
  v_either := v_asked.either;
  if v_asked.sure is not null then
    v_found := phantom.search_found(v_tenant, p_generation, v_asked.sure::tsquery, p_ranked + 1);
  end if;
  if v_found is null or cardinality(v_found) > p_ranked then
    v_found := phantom.search_found(v_tenant, p_generation, v_every, p_counted);
  end if;
  if cardinality(v_found) > p_ranked then
    v_many := cardinality(v_found);
    v_named := phantom.search_found(v_tenant, p_generation, v_asked.named::tsquery, p_ranked);
    if v_named = '{}' then
      v_found := v_found[:p_ranked];
      v_likeness := 0;
    else
      v_found := v_named || array(
        select t from unnest(v_found[:p_ranked]) t except select t from unnest(v_named) t
        order by 1 limit p_ranked - cardinality(v_named));
    end if;
  end if;
  return query
  with ranked as materialized (
    select s.model_id,
           (ts_rank('{0.02, 0.08, 0.3, 1}', s.words, v_either)
             + case when v_likeness > 0 then similarity(s.name, p_text) * v_likeness else 0 end)::real as rank
      from phantom.model_search s
     where s.ctid = any (v_found)
       and (v_asked.sure is null or s.words @@ v_every) and (s.tenant_id = v_tenant and s.generation = p_generation) is true)
  select r.model_id, r.rank, coalesce(v_many, (select count(*) from ranked)) from ranked r
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
  execute 'alter function phantom.search_like set search_path = ' || v_path;
  execute 'alter function phantom.search_models set search_path = ' || v_path;
end
$$;
{{ template "shared/own.sql" (list "phantom_search" "phantom" "search_models") }}

---- create above / drop below ----

drop function phantom.search_models;
drop function phantom.search_found;
drop function phantom.search_first;
drop function phantom.search_any;
drop function phantom.search_like;
drop function phantom.search_queries;

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
