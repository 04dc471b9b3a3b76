<?php
// The pages of phpredis_sessions.py, for PHP's own web server: each starts the session, which the
// extension reads from a router and, with locking, keeps to itself until the page ends.

$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
$read_only = $path === '/look';
session_start($read_only ? ['read_and_close' => true] : []);
$reply = ['id' => session_id()];

switch ($path) {
    case '/login':
        session_regenerate_id(true);
        $cart = ['키보드', '☃', 1.5, null];
        $_SESSION = ['user' => $_GET['user'], 'visits' => 0, 'cart' => $cart];
        $reply['id'] = session_id();
        break;
    case '/visit':
        // Long enough for others to come in between.
        $visits = $_SESSION['visits'] ?? 0;
        usleep(random_int(0, 4000));
        $_SESSION['visits'] = $visits + 1;
        break;
    case '/slow':
        $_SESSION['slow'] = 'begun';
        usleep((int) $_GET['ms'] * 1000);
        $_SESSION['slow'] = 'ended';
        break;
    case '/big':
        $_SESSION['big'] = str_repeat('0123456789', 20000);
        break;
    case '/logout':
        session_destroy();
        $_SESSION = [];
        break;
}
$reply['session'] = $_SESSION;
header('Content-Type: application/json');
echo json_encode($reply);
