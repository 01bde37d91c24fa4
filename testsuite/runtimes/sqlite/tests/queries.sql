.headers on
create table t(id integer primary key, name text, v real);
with recursive n(i) as (values(1) union all select i + 1 from n where i < 5000)
  insert into t select i, 'name ' || (i * 7919 % 5000), (i * 31 % 1009) / 7.0 from n;
create index t_name on t(name);
select count(*), round(sum(v), 3), min(name), max(name) from t;
select name, v from t where name like 'name 12%' order by v desc, name limit 5;
select id % 10 as k, count(*) as c, round(avg(v), 4) as a from t group by k having a > 50 order by k;
explain query plan select * from t where name = 'name 5';
select a.id, b.id from t a join t b on b.id = a.id * 2 where a.id between 10 and 14;
select id, sum(v) over (order by id rows 3 preceding) from t where id < 6;
select json_object('a', json_array(1, 2.5, 'x'), 'b', null), json_extract('{"k":[1,{"z":9}]}', '$.k[1].z');
select printf('%08.3f|%-5s|%x', 3.14159, 'ab', 255), hex(zeroblob(4)), unicode('é'), upper('straße');
select date('2024-02-29', '+1 year'), strftime('%j %W', '2021-12-31'), julianday('2000-01-01');
begin; delete from t where id > 10; select count(*) from t; rollback; select count(*) from t;
savepoint s; update t set v = 0; rollback to s; release s; select round(sum(v), 3) from t;
insert into t values (1, 'again', 0);
select nonsense;
pragma integrity_check;
