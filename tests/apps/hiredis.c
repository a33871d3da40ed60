// hiredis behind tests/apps/long_lived.py: sends each line as a command, prints a line for each reply, reconnects when it must.
// usage: hiredis PORT PASSWORD
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv) {
    char line[256];
    redisContext *context = NULL;
    if (argc != 3) return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    while (fgets(line, sizeof line, stdin)) {
        const char *words[8];
        int count = 0;
        for (char *word = strtok(line, " \n"); word && count < 8; word = strtok(NULL, " \n")) words[count++] = word;
        if (!context) {
            struct timeval patience = {5, 0};
            context = redisConnectWithTimeout("127.0.0.1", atoi(argv[1]), patience);
            if (!context) return 1;
            if (!context->err) redisSetTimeout(context, patience);
            if (!context->err) freeReplyObject(redisCommand(context, "AUTH %s", argv[2]));
        }
        redisReply *reply = context->err ? NULL : redisCommandArgv(context, count, words, NULL);
        if (!reply) {
            printf("error: %s\n", context->errstr);
            redisFree(context);
            context = NULL;
            continue;
        }
        if (reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS || reply->type == REDIS_REPLY_ERROR)
            printf("%s\n", reply->str);
        else
            printf("type %d\n", reply->type);
        freeReplyObject(reply);
    }
    return 0;
}
