<?php
// php-redis behind tests/apps/long_lived.py: reads SET and GET lines, answers a line each, connects again when it lost the server.
$about = json_decode(file_get_contents(getenv('PONTOON_SERVICE')), true);
function client(array $about): Redis {
    $redis = new Redis();
    $redis->connect('tls://' . $about['host'], $about['port'], 5, null, 0, 5,
        ['stream' => ['cafile' => $about['ca'], 'verify_peer' => true, 'verify_peer_name' => true]]);
    $redis->auth([$about['user'], $about['password']]);
    return $redis;
}
$redis = client($about);
while (($line = fgets(STDIN)) !== false) {
    $words = explode(' ', trim($line));
    try {
        $redis ??= client($about);
        echo $words[0] === 'SET' ? ($redis->set($words[1], $words[2]) ? 'OK' : 'no') : $redis->get($words[1]), "\n";
    } catch (RedisException $error) {
        echo 'error: ', $error->getMessage(), "\n";
        $redis = null;
    }
}
